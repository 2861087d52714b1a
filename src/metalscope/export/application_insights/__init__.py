"""Azure Application Insights."""
