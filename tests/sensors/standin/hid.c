/* A stand-in for IOKit.framework's client of the event system, with the temperature sensors that a
   test puts into it. */
#include "standin.h"
#include <string.h>
#include <unistd.h>

#define UTF8 0x08000100u
#define TEMPERATURE 15

static struct {
    char name[128];
    double celsius;
    int silent;
} sensors[128];
static int sensor_count;
static pid_t creator;
static long events;

void standin_hid_sensor(const char *name, double celsius, int silent)
{
    strncpy(sensors[sensor_count].name, name, sizeof sensors[0].name - 1);
    sensors[sensor_count].celsius = celsius;
    sensors[sensor_count++].silent = silent;
}

void standin_hid_clear(void) { sensor_count = 0, events = 0; }
/* How often a sensor was asked for its reading. */
long standin_hid_events(void) { return events; }

static Ref dictionary(void)
{
    return CFDictionaryCreateMutable(NULL, 0, &kCFTypeDictionaryKeyCallBacks,
                                     &kCFTypeDictionaryValueCallBacks);
}

Ref IOHIDEventSystemClientCreate(Ref allocator)
{
    if (allocator)
        standin_misuse("IOHIDEventSystemClientCreate");
    creator = getpid();
    return standin_other(dictionary());
}

int IOHIDEventSystemClientSetMatching(Ref client, Ref matching)
{
    if (!standin_check(client, OTHER) || !standin_check(matching, DICTIONARY))
        return 0;
    standin_put(standin_other_child(client), "matching", CFRetain(matching));
    return 1;
}

Ref IOHIDEventSystemClientCopyServices(Ref client)
{
    if (!standin_check(client, OTHER) || creator != getpid()) {
        standin_misuse("a client of another process");
        return NULL;
    }
    Ref matching = standin_get(standin_other_child(client), "matching");
    if (!matching || standin_number(standin_get(matching, "PrimaryUsagePage")) != 0xff00 ||
        standin_number(standin_get(matching, "PrimaryUsage")) != 5)
        standin_misuse("another kind of sensor");
    if (!sensor_count)
        return NULL;
    Ref services = CFArrayCreateMutable(NULL, 0, &kCFTypeArrayCallBacks);
    for (int64_t at = 0; at < sensor_count; at++) {
        Ref properties = dictionary();
        if (*sensors[at].name)
            standin_put(properties, "Product",
                        CFStringCreateWithCString(NULL, sensors[at].name, UTF8));
        standin_put(properties, "index", CFNumberCreate(NULL, 4, &at));
        Ref service = standin_other(properties);
        CFArrayAppendValue(services, service);
        CFRelease(service);
    }
    return services;
}

Ref IOHIDServiceClientCopyProperty(Ref service, Ref key)
{
    if (!standin_check(service, OTHER))
        return NULL;
    Ref found = standin_get(standin_other_child(service), standin_bytes(key));
    return found ? CFRetain(found) : NULL;
}

Ref IOHIDServiceClientCopyEvent(Ref service, int64_t type, int32_t options, int64_t timeout)
{
    if (!standin_check(service, OTHER) || type != TEMPERATURE || options || timeout) {
        standin_misuse("IOHIDServiceClientCopyEvent");
        return NULL;
    }
    events++;
    long at = standin_number(standin_get(standin_other_child(service), "index"));
    return sensors[at].silent ? NULL : standin_other(CFNumberCreate(NULL, 6, &sensors[at].celsius));
}

extern unsigned char CFNumberGetValue(Ref number, Index type, void *value);

double IOHIDEventGetFloatValue(Ref event, int32_t field)
{
    double value = 0;
    if (!standin_check(event, OTHER) || field != TEMPERATURE << 16)
        standin_misuse("IOHIDEventGetFloatValue");
    else
        CFNumberGetValue(standin_other_child(event), 6, &value);
    return value;
}
