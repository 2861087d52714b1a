/* A stand-in for libSystem's sysctlbyname, with the facts that a test puts into it. */
#include <errno.h>
#include <stdint.h>
#include <stddef.h>
#include <string.h>

static struct {
    char name[64];
    unsigned char value[128];
    size_t size;
} facts[32];
static int count;

void standin_fact(const char *name, const void *value, size_t size)
{
    strcpy(facts[count].name, name);
    memcpy(facts[count].value, value, size);
    facts[count++].size = size;
}

void standin_facts_clear(void) { count = 0; }

int sysctlbyname(const char *name, void *old, size_t *size, void *new_value, size_t new_size)
{
    (void)new_value, (void)new_size;
    for (int i = 0; i < count; i++) {
        if (strcmp(facts[i].name, name))
            continue;
        if (old) {
            if (*size < facts[i].size) {
                errno = ENOMEM;
                return -1;
            }
            memcpy(old, facts[i].value, facts[i].size);
        }
        *size = facts[i].size;
        return 0;
    }
    errno = ENOENT;
    return -1;
}
