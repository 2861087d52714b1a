/* What the stand-ins for macOS libraries share. They have Apple's names and signatures; inside, every
   object is counted, and one that is used after its release is noticed, since it is never freed. */
#pragma once
#include <stdint.h>

typedef const void *Ref;
typedef long Index;

enum { STRING = 1, NUMBER, BOOLEAN, DATA, ARRAY, DICTIONARY, OTHER };

/* A new object of type OTHER that releases `child` at its end. */
Ref standin_other(Ref child);
Ref standin_other_child(Ref object);
/* Counts a mistake of the caller: a release too many, a NULL, a wrong type. */
void standin_misuse(const char *what);
/* Notices an object of another type or one already released; returns whether it is all right. */
int standin_check(Ref object, int type);

Ref CFStringCreateWithCString(Ref allocator, const char *bytes, uint32_t encoding);
const char *standin_bytes(Ref string);
Ref CFNumberCreate(Ref allocator, Index type, const void *value);
Ref CFDataCreate(Ref allocator, const uint8_t *bytes, Index length);
const uint8_t *CFDataGetBytePtr(Ref data);
Ref CFArrayCreateMutable(Ref allocator, Index capacity, const void *callbacks);
void CFArrayAppendValue(Ref array, Ref value);
Index CFArrayGetCount(Ref array);
Ref CFArrayGetValueAtIndex(Ref array, Index index);
Ref CFDictionaryCreateMutable(Ref allocator, Index capacity, const void *keys, const void *values);
void CFDictionarySetValue(Ref dictionary, Ref key, Ref value);
Ref CFRetain(Ref object);
void CFRelease(Ref object);
extern const long kCFTypeArrayCallBacks, kCFTypeDictionaryKeyCallBacks,
    kCFTypeDictionaryValueCallBacks;

/* Shorthand that owns nothing afterwards. */
Ref standin_get(Ref dictionary, const char *key);
void standin_put(Ref dictionary, const char *key, Ref value_to_release);
long standin_number(Ref number);
