/* A stand-in for the registry of IOKit.framework, with the entries that a test puts into it. */
#include "standin.h"
#include <stdlib.h>
#include <string.h>

#define MOST 4096

typedef struct {
    char classes[256]; /* its class and those above it, ":AGXAcceleratorG13X:IOAccelerator:" */
    char name[128];
    Ref properties;
} Entry;

static Entry entries[64];
static int entry_count;

/* An object is a number; 0 is none. Its kind is 'i', an iterator, or 'e', an entry. */
static struct {
    char kind;
    int at;
    char classes[256];
} objects[MOST];
static uint32_t object_count = 1;
static long live;
static int failure;

long standin_io_live(void) { return live; }
void standin_io_fail(int status) { failure = status; }

int standin_entry(const char *classes, const char *name)
{
    Entry *entry = &entries[entry_count];
    strncpy(entry->classes, classes, sizeof entry->classes - 1);
    strncpy(entry->name, name, sizeof entry->name - 1);
    entry->properties = CFDictionaryCreateMutable(NULL, 0, &kCFTypeDictionaryKeyCallBacks,
                                                  &kCFTypeDictionaryValueCallBacks);
    return entry_count++;
}

void standin_entry_put(int at, const char *key, Ref value)
{
    standin_put(entries[at].properties, key, value);
}

void standin_registry_clear(void)
{
    while (entry_count)
        CFRelease(entries[--entry_count].properties);
    object_count = 1;
    failure = 0;
}

static uint32_t give(char kind, int at)
{
    if (object_count == MOST)
        abort();
    objects[object_count].kind = kind;
    objects[object_count].at = at;
    live++;
    return object_count++;
}

static int use(uint32_t object, char kind)
{
    if (!object || object >= object_count || objects[object].kind != kind) {
        standin_misuse("an io_object that is none, of another kind, or released");
        return -1;
    }
    return objects[object].at;
}

Ref IOServiceMatching(const char *name)
{
    Ref matching = CFDictionaryCreateMutable(NULL, 0, &kCFTypeDictionaryKeyCallBacks,
                                             &kCFTypeDictionaryValueCallBacks);
    standin_put(matching, "IOProviderClass", CFStringCreateWithCString(NULL, name, 0x08000100));
    return matching;
}

int IOServiceGetMatchingServices(uint32_t port, Ref matching, uint32_t *existing)
{
    if (port)
        standin_misuse("a port that is not the default");
    if (!standin_check(matching, DICTIONARY))
        return -536870206; /* kIOReturnBadArgument */
    const char *name = standin_bytes(standin_get(matching, "IOProviderClass"));
    char wanted[256] = ":";
    strncat(wanted, name, sizeof wanted - 3);
    strcat(wanted, ":");
    CFRelease(matching); /* consumed, also where it fails */
    if (failure)
        return failure;
    *existing = give('i', 0);
    strcpy(objects[*existing].classes, wanted);
    return 0;
}

uint32_t IOIteratorNext(uint32_t iterator)
{
    int at = use(iterator, 'i');
    for (; at >= 0 && at < entry_count; at++)
        if (strstr(entries[at].classes, objects[iterator].classes)) {
            objects[iterator].at = at + 1;
            return give('e', at);
        }
    return 0;
}

int IOObjectRelease(uint32_t object)
{
    if (!object || object >= object_count || !objects[object].kind) {
        standin_misuse("an io_object released twice");
        return -536870206;
    }
    objects[object].kind = 0;
    live--;
    return 0;
}

int IORegistryEntryGetName(uint32_t entry, char *name)
{
    int at = use(entry, 'e');
    if (at < 0)
        return -536870206;
    strcpy(name, entries[at].name);
    return 0;
}

Ref IORegistryEntryCreateCFProperty(uint32_t entry, Ref key, Ref allocator, uint32_t options)
{
    int at = use(entry, 'e');
    if (allocator || options)
        standin_misuse("IORegistryEntryCreateCFProperty");
    Ref found = at < 0 ? NULL : standin_get(entries[at].properties, standin_bytes(key));
    return found ? CFRetain(found) : NULL;
}
