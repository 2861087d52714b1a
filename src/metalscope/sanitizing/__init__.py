"""What is secret or private in text, found and taken out."""

from metalscope.sanitizing.from_options import sanitizer_of
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing.secrets import secrets_of

__all__ = ["Sanitizer", "sanitizer_of", "secrets_of"]
