/* A stand-in for the Objective-C runtime and for Foundation's NSProcessInfo. As on a Mac, a message
   that an object does not understand ends the process. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Class {
    const char *name;
} Class;
typedef struct {
    const Class *isa;
} Object;

/* What NSProcessInfo's only instance is of, is Foundation's affair; here it is a subclass. */
static const Class metaclass = {"NSProcessInfo metaclass"};
static const Class process_info = {"NSProcessInfo"}, instances_are_of = {"_NSProcessInfo"};
static Object class_object = {&metaclass}, instance = {&instances_are_of};
static char selectors[16][64];
static int selector_count, has_class = 1, knows_low_power = 1, low_power;
static long state, pools, misuses;
static pid_t loader;

void standin_info(long thermal_state, int saves_power)
{
    state = thermal_state;
    low_power = saves_power;
    loader = getpid();
    has_class = knows_low_power = 1;
}
void standin_info_before_macos_12(void) { knows_low_power = 0; }
void standin_info_has_no_class(void) { has_class = 0; }
/* Autorelease pools that were opened and not drained. */
long standin_info_pools(void) { return pools; }
long standin_info_misuses(void) { return misuses; }

void *objc_getClass(const char *name)
{
    return has_class && !strcmp(name, process_info.name) ? &class_object : NULL;
}

const char *sel_registerName(const char *name)
{
    for (int i = 0; i < selector_count; i++)
        if (!strcmp(selectors[i], name))
            return selectors[i];
    return strcpy(selectors[selector_count++], name);
}

const Class *object_getClass(const Object *object) { return object ? object->isa : NULL; }

_Bool class_respondsToSelector(const Class *class, const char *selector)
{
    return class == &instances_are_of &&
           (!strcmp(selector, "thermalState") ||
            (knows_low_power && !strcmp(selector, "isLowPowerModeEnabled")));
}

void *objc_autoreleasePoolPush(void) { return (void *)(uintptr_t)++pools; }

void objc_autoreleasePoolPop(void *pool)
{
    if ((long)(uintptr_t)pool != pools--)
        misuses++;
}

uintptr_t objc_msgSend(Object *object, const char *selector)
{
    if (pools < 1 || loader != getpid())
        misuses++;
    if (object == &class_object && !strcmp(selector, "processInfo"))
        return (uintptr_t)&instance;
    if (object == &instance && !strcmp(selector, "thermalState"))
        return (uintptr_t)state;
    /* A BOOL is a byte; what is in the rest of the register means nothing. */
    if (object == &instance && knows_low_power && !strcmp(selector, "isLowPowerModeEnabled"))
        return 0xbad00u | (low_power != 0);
    fprintf(stderr, "stand-in: unrecognized selector %s\n", selector);
    abort();
}
