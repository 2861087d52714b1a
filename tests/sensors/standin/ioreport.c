/* A stand-in for libIOReport.dylib, with the channels that a test puts into it.

   A sample holds IOReportElements as xnu's iokit/IOKit/IOReportTypes.h lays them out, and the
   functions that read a channel read them there. */
#include "standin.h"
#include <stdlib.h>
#include <string.h>

#define UTF8 0x08000100u
#define CHANNELS "IOReportChannels"

typedef struct {
    uint64_t provider, channel, type, stamp, values[4];
} Element;

typedef struct {
    char group[64], subgroup[64], name[64], unit[16], states[64][24];
    int state_count;
    int64_t value, ticks[64];
    uint64_t stamp;
} Channel;

static Channel channels[512];
static int channel_count;
static char refused[64], empty[64];
static int sampling_fails;

int standin_channel(const char *group, const char *subgroup, const char *name, const char *unit)
{
    Channel *made = &channels[channel_count];
    memset(made, 0, sizeof *made);
    strcpy(made->group, group);
    strcpy(made->subgroup, subgroup);
    strcpy(made->name, name);
    strcpy(made->unit, unit);
    return channel_count++;
}

void standin_state(int at, const char *name)
{
    strcpy(channels[at].states[channels[at].state_count++], name);
}

void standin_publish(int at, int64_t value, uint64_t stamp)
{
    channels[at].value = value;
    channels[at].stamp = stamp;
}

void standin_ticks(int at, int state, int64_t ticks) { channels[at].ticks[state] = ticks; }
/* A group that is listed and cannot be subscribed to. */
void standin_refuse(const char *group) { strcpy(refused, group); }
/* A group that can be subscribed to and is in no sample. */
void standin_empty(const char *group) { strcpy(empty, group); }
void standin_sampling_fails(int whether) { sampling_fails = whether; }

void standin_report_clear(void)
{
    channel_count = sampling_fails = 0;
    refused[0] = empty[0] = 0;
}

static Ref dictionary(void)
{
    return CFDictionaryCreateMutable(NULL, 0, &kCFTypeDictionaryKeyCallBacks,
                                     &kCFTypeDictionaryValueCallBacks);
}

static Ref string(const char *bytes) { return CFStringCreateWithCString(NULL, bytes, UTF8); }

static Ref describe(int at)
{
    const Channel *channel = &channels[at];
    int64_t number = at;
    Ref made = dictionary();
    standin_put(made, "IOReportGroupName", string(channel->group));
    if (*channel->subgroup)
        standin_put(made, "IOReportSubGroupName", string(channel->subgroup));
    standin_put(made, "name", string(channel->name));
    if (*channel->unit) {
        char padded[24];
        strcat(strcpy(padded, channel->unit), "   "); /* as the real labels are */
        standin_put(made, "unit", string(padded));
    }
    standin_put(made, "index", CFNumberCreate(NULL, 4, &number));
    return made;
}

static const Channel *channel_of(Ref item)
{
    return &channels[standin_number(standin_get(item, "index"))];
}

Ref IOReportCopyChannelsInGroup(Ref group, Ref subgroup, uint64_t a, uint64_t b, uint64_t c)
{
    int64_t none = 0;
    Ref found = CFArrayCreateMutable(NULL, 0, &kCFTypeArrayCallBacks);
    if (a || b || c)
        standin_misuse("IOReportCopyChannelsInGroup");
    for (int at = 0; at < channel_count; at++)
        if (!strcmp(channels[at].group, standin_bytes(group)) &&
            (!subgroup || !strcmp(channels[at].subgroup, standin_bytes(subgroup)))) {
            Ref item = describe(at);
            CFArrayAppendValue(found, item);
            CFRelease(item);
        }
    if (!CFArrayGetCount(found)) {
        CFRelease(found);
        return NULL;
    }
    Ref made = dictionary();
    standin_put(made, CHANNELS, found);
    standin_put(made, "QueryOpts", CFNumberCreate(NULL, 4, &none));
    return made;
}

void IOReportMergeChannels(Ref into, Ref from, Ref nothing)
{
    Ref all = CFArrayCreateMutable(NULL, 0, &kCFTypeArrayCallBacks);
    Ref both[2] = {standin_get(into, CHANNELS), standin_get(from, CHANNELS)};
    if (nothing)
        standin_misuse("IOReportMergeChannels");
    for (int which = 0; which < 2; which++)
        for (Index i = 0; i < CFArrayGetCount(both[which]); i++)
            CFArrayAppendValue(all, CFArrayGetValueAtIndex(both[which], i));
    standin_put(into, CHANNELS, all);
}

Ref IOReportCreateSubscription(Ref nothing, Ref wanted, Ref *granted, uint64_t id, Ref nothing_too)
{
    Ref items = standin_get(wanted, CHANNELS);
    Index open = 0;
    if (nothing || id || nothing_too || !granted)
        standin_misuse("IOReportCreateSubscription");
    for (Index i = 0; i < CFArrayGetCount(items); i++)
        open += strcmp(channel_of(CFArrayGetValueAtIndex(items, i))->group, refused) != 0;
    if (!open)
        return NULL;
    *granted = wanted;
    return standin_other(CFRetain(wanted));
}

Ref IOReportCreateSamples(Ref subscription, Ref wanted, Ref nothing)
{
    if (nothing || !standin_check(subscription, OTHER) || !standin_check(wanted, DICTIONARY))
        standin_misuse("IOReportCreateSamples");
    if (sampling_fails)
        return NULL;
    Ref items = standin_get(wanted, CHANNELS);
    Ref sampled = CFArrayCreateMutable(NULL, 0, &kCFTypeArrayCallBacks);
    for (Index i = 0; i < CFArrayGetCount(items); i++) {
        Ref asked = CFArrayGetValueAtIndex(items, i);
        const Channel *channel = channel_of(asked);
        if (!strcmp(channel->group, refused) || !strcmp(channel->group, empty))
            continue;
        Element elements[64] = {0};
        elements[0].stamp = channel->stamp;
        elements[0].values[0] = channel->value;
        for (int state = 0; state < channel->state_count; state++)
            elements[state].values[2] = channel->ticks[state];
        int count = channel->state_count ? channel->state_count : 1;
        Ref item = describe(standin_number(standin_get(asked, "index")));
        standin_put(item, "RawElements",
                    CFDataCreate(NULL, (const uint8_t *)elements, count * sizeof(Element)));
        CFArrayAppendValue(sampled, item);
        CFRelease(item);
    }
    Ref made = dictionary();
    standin_put(made, CHANNELS, sampled);
    return made;
}

static const Element *elements_of(Ref item)
{
    return (const Element *)CFDataGetBytePtr(standin_get(item, "RawElements"));
}

Ref IOReportChannelGetGroup(Ref item) { return standin_get(item, "IOReportGroupName"); }
Ref IOReportChannelGetSubGroup(Ref item) { return standin_get(item, "IOReportSubGroupName"); }
Ref IOReportChannelGetChannelName(Ref item) { return standin_get(item, "name"); }
Ref IOReportChannelGetUnitLabel(Ref item) { return standin_get(item, "unit"); }

int64_t IOReportSimpleGetIntegerValue(Ref item, int index)
{
    if (index)
        standin_misuse("IOReportSimpleGetIntegerValue");
    return channel_of(item)->state_count ? INT64_MIN : (int64_t)elements_of(item)->values[0];
}

int IOReportStateGetCount(Ref item) { return channel_of(item)->state_count; }

Ref IOReportStateGetNameForIndex(Ref item, int index)
{
    /* A Get function: the caller owns nothing, so the string lives in the item. */
    char key[16] = "state ";
    key[6] = 'A' + index / 16;
    key[7] = 'A' + index % 16;
    if (!standin_get(item, key))
        standin_put(item, key, string(channel_of(item)->states[index]));
    return standin_get(item, key);
}

int64_t IOReportStateGetResidency(Ref item, int index)
{
    return (int64_t)elements_of(item)[index].values[2];
}
