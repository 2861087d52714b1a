/* A stand-in for the part of CoreFoundation.framework that metalscope calls. */
#include "standin.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UTF8 0x08000100u
#define MAGIC 0x5ca1ab1eu

typedef struct {
    unsigned magic;
    int type;
    long references;
    Index count, room;
    Ref *keys, *items;
    char *bytes;
    long whole;
    double real;
    int is_real;
} Object;

const long kCFTypeArrayCallBacks = 1, kCFTypeDictionaryKeyCallBacks = 2,
           kCFTypeDictionaryValueCallBacks = 3;

static long live, misuses;
static Object yes = {MAGIC, BOOLEAN, 1, .whole = 1}, no = {MAGIC, BOOLEAN, 1, .whole = 0};
const void *kCFBooleanTrue = &yes, *kCFBooleanFalse = &no;

/* All references held: one a new object, one more a retain. */
long standin_live(void) { return live; }
long standin_misuses(void) { return misuses; }

void standin_misuse(const char *what)
{
    misuses++;
    fprintf(stderr, "stand-in: %s\n", what);
}

int standin_check(Ref reference, int type)
{
    const Object *object = reference;
    if (!object || object->magic != MAGIC) {
        standin_misuse("not an object");
        return 0;
    }
    if (object->references <= 0) {
        standin_misuse("used after its release");
        return 0;
    }
    if (type && object->type != type) {
        standin_misuse("an object of another type");
        return 0;
    }
    return 1;
}

static Object *make(int type)
{
    Object *object = calloc(1, sizeof *object);
    object->magic = MAGIC;
    object->type = type;
    object->references = 1;
    live++;
    return object;
}

static Object *use(Ref reference, int type)
{
    return standin_check(reference, type) ? (Object *)reference : NULL;
}

Ref CFRetain(Ref reference)
{
    Object *object = use(reference, 0);
    if (object && object->type != BOOLEAN) {
        object->references++;
        live++;
    }
    return reference;
}

void CFRelease(Ref reference)
{
    Object *object = use(reference, 0);
    if (!object || object->type == BOOLEAN)
        return;
    live--;
    if (--object->references > 0)
        return;
    for (Index i = 0; i < object->count; i++) {
        if (object->keys)
            CFRelease(object->keys[i]);
        CFRelease(object->items[i]);
    }
}

unsigned long CFGetTypeID(Ref reference)
{
    const Object *object = use(reference, 0);
    return object ? 100ul + object->type : 0;
}

unsigned long CFStringGetTypeID(void) { return 100 + STRING; }
unsigned long CFNumberGetTypeID(void) { return 100 + NUMBER; }
unsigned long CFBooleanGetTypeID(void) { return 100 + BOOLEAN; }
unsigned long CFDataGetTypeID(void) { return 100 + DATA; }
unsigned long CFArrayGetTypeID(void) { return 100 + ARRAY; }
unsigned long CFDictionaryGetTypeID(void) { return 100 + DICTIONARY; }

Ref standin_other(Ref child)
{
    Object *object = make(OTHER);
    object->items = calloc(1, sizeof(Ref));
    object->items[0] = child;
    object->count = 1;
    return object;
}

Ref standin_other_child(Ref reference)
{
    Object *object = use(reference, OTHER);
    return object ? object->items[0] : NULL;
}

/* -- strings ---------------------------------------------------------------------------------- */

Ref CFStringCreateWithCString(Ref allocator, const char *bytes, uint32_t encoding)
{
    if (encoding != UTF8 || allocator)
        standin_misuse("CFStringCreateWithCString");
    Object *object = make(STRING);
    object->bytes = strdup(bytes);
    return object;
}

const char *standin_bytes(Ref reference)
{
    Object *object = use(reference, STRING);
    return object ? object->bytes : "";
}

Index CFStringGetLength(Ref reference)
{
    Index units = 0;
    for (const char *c = standin_bytes(reference); *c; c++)
        units += (*c & 0xc0) == 0x80 ? 0 : (*c & 0xf8) == 0xf0 ? 2 : 1;
    return units;
}

Index CFStringGetMaximumSizeForEncoding(Index length, uint32_t encoding)
{
    if (encoding != UTF8)
        standin_misuse("CFStringGetMaximumSizeForEncoding");
    return length * 3;
}

unsigned char CFStringGetCString(Ref reference, char *buffer, Index size, uint32_t encoding)
{
    const char *bytes = standin_bytes(reference);
    if (encoding != UTF8 || (Index)strlen(bytes) + 1 > size)
        return 0;
    strcpy(buffer, bytes);
    return 1;
}

/* -- numbers, booleans, data ------------------------------------------------------------------- */

enum { SINT32 = 3, SINT64 = 4, FLOAT64 = 6 };

Ref CFNumberCreate(Ref allocator, Index type, const void *value)
{
    Object *object = make(NUMBER);
    if (type == SINT64)
        object->whole = *(const int64_t *)value;
    else if (type == SINT32)
        object->whole = *(const int32_t *)value;
    else if (type == FLOAT64) {
        object->real = *(const double *)value;
        object->is_real = 1;
    } else
        standin_misuse("CFNumberCreate");
    if (allocator)
        standin_misuse("an allocator");
    return object;
}

unsigned char CFNumberIsFloatType(Ref reference)
{
    Object *object = use(reference, NUMBER);
    return object ? object->is_real : 0;
}

unsigned char CFNumberGetValue(Ref reference, Index type, void *value)
{
    Object *object = use(reference, NUMBER);
    if (!object)
        return 0;
    if (type == SINT64)
        *(int64_t *)value = object->is_real ? (int64_t)object->real : object->whole;
    else if (type == SINT32)
        *(int32_t *)value = object->is_real ? (int32_t)object->real : (int32_t)object->whole;
    else if (type == FLOAT64)
        *(double *)value = object->is_real ? object->real : (double)object->whole;
    else
        standin_misuse("CFNumberGetValue");
    return 1;
}

long standin_number(Ref reference)
{
    int64_t value = 0;
    CFNumberGetValue(reference, SINT64, &value);
    return value;
}

unsigned char CFBooleanGetValue(Ref reference)
{
    Object *object = use(reference, BOOLEAN);
    return object ? object->whole != 0 : 0;
}

Ref CFDataCreate(Ref allocator, const uint8_t *bytes, Index length)
{
    Object *object = make(DATA);
    (void)allocator;
    object->bytes = malloc(length ? length : 1);
    memcpy(object->bytes, bytes, length);
    object->whole = length;
    return object;
}

Index CFDataGetLength(Ref reference)
{
    Object *object = use(reference, DATA);
    return object ? object->whole : 0;
}

const uint8_t *CFDataGetBytePtr(Ref reference)
{
    Object *object = use(reference, DATA);
    return object ? (const uint8_t *)object->bytes : NULL;
}

/* -- arrays and dictionaries -------------------------------------------------------------------- */

static void append(Object *object, Ref key, Ref value)
{
    if (object->count == object->room) {
        object->room = object->room * 2 + 4;
        object->items = realloc(object->items, object->room * sizeof(Ref));
        if (object->type == DICTIONARY)
            object->keys = realloc(object->keys, object->room * sizeof(Ref));
    }
    if (object->type == DICTIONARY)
        object->keys[object->count] = CFRetain(key);
    object->items[object->count++] = CFRetain(value);
}

Ref CFArrayCreateMutable(Ref allocator, Index capacity, const void *callbacks)
{
    if (allocator || capacity || callbacks != &kCFTypeArrayCallBacks)
        standin_misuse("CFArrayCreateMutable");
    return make(ARRAY);
}

void CFArrayAppendValue(Ref reference, Ref value)
{
    Object *object = use(reference, ARRAY);
    if (object)
        append(object, NULL, value);
}

Index CFArrayGetCount(Ref reference)
{
    Object *object = use(reference, ARRAY);
    return object ? object->count : 0;
}

Ref CFArrayGetValueAtIndex(Ref reference, Index index)
{
    Object *object = use(reference, ARRAY);
    if (!object || index < 0 || index >= object->count) {
        standin_misuse("CFArrayGetValueAtIndex");
        return NULL;
    }
    return object->items[index];
}

Ref CFDictionaryCreateMutable(Ref allocator, Index capacity, const void *keys, const void *values)
{
    if (allocator || capacity || keys != &kCFTypeDictionaryKeyCallBacks ||
        values != &kCFTypeDictionaryValueCallBacks)
        standin_misuse("CFDictionaryCreateMutable");
    return make(DICTIONARY);
}

Ref CFDictionaryCreate(Ref allocator, const Ref *keys, const Ref *values, Index count,
                       const void *key_callbacks, const void *value_callbacks)
{
    Ref made = CFDictionaryCreateMutable(allocator, 0, key_callbacks, value_callbacks);
    for (Index i = 0; i < count; i++)
        CFDictionarySetValue(made, keys[i], values[i]);
    return made;
}

static Index place(Object *object, Ref key)
{
    for (Index i = 0; i < object->count; i++)
        if (!strcmp(standin_bytes(object->keys[i]), standin_bytes(key)))
            return i;
    return -1;
}

void CFDictionarySetValue(Ref reference, Ref key, Ref value)
{
    Object *object = use(reference, DICTIONARY);
    if (!object)
        return;
    Index at = place(object, key);
    if (at < 0) {
        append(object, key, value);
        return;
    }
    Ref before = object->items[at];
    object->items[at] = CFRetain(value);
    CFRelease(before);
}

Ref CFDictionaryGetValue(Ref reference, Ref key)
{
    Object *object = use(reference, DICTIONARY);
    Index at = object ? place(object, key) : -1;
    return at < 0 ? NULL : object->items[at];
}

Index CFDictionaryGetCount(Ref reference)
{
    Object *object = use(reference, DICTIONARY);
    return object ? object->count : 0;
}

void CFDictionaryGetKeysAndValues(Ref reference, Ref *keys, Ref *values)
{
    Object *object = use(reference, DICTIONARY);
    for (Index i = 0; object && i < object->count; i++) {
        keys[i] = object->keys[i];
        values[i] = object->items[i];
    }
}

Ref CFDictionaryCreateMutableCopy(Ref allocator, Index capacity, Ref reference)
{
    Object *object = use(reference, DICTIONARY);
    if (allocator || capacity)
        standin_misuse("CFDictionaryCreateMutableCopy");
    Object *made = make(DICTIONARY);
    for (Index i = 0; object && i < object->count; i++)
        append(made, object->keys[i], object->items[i]);
    return made;
}

Ref standin_get(Ref dictionary, const char *key)
{
    Ref name = CFStringCreateWithCString(NULL, key, UTF8);
    Ref found = CFDictionaryGetValue(dictionary, name);
    CFRelease(name);
    return found;
}

void standin_put(Ref dictionary, const char *key, Ref value)
{
    Ref name = CFStringCreateWithCString(NULL, key, UTF8);
    CFDictionarySetValue(dictionary, name, value);
    CFRelease(name);
    CFRelease(value);
}
