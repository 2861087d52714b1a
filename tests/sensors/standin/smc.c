/* A stand-in for the part of IOKit.framework that talks to the System Management Controller.

   The layout is written down once more here, from github.com/beltex/SMCKit's SMCParamStruct, so
   that a mistake in metalscope's is a request of the wrong size, as it is on a Mac. */
#include "standin.h"
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    uint32_t key;
    struct {
        uint8_t major, minor, build, reserved;
        uint16_t release;
    } version;
    struct {
        uint16_t version, length;
        uint32_t cpu, gpu, memory;
    } limits;
    struct {
        uint32_t size, type;
        uint8_t attributes;
    } info;
    uint8_t result, status, command;
    uint32_t index;
    uint8_t bytes[32];
} KeyData;

_Static_assert(sizeof(KeyData) == 80, "the size on a Mac");
_Static_assert(offsetof(KeyData, info) == 28, "as others have found it");
_Static_assert(offsetof(KeyData, command) == 42, "as others have found it");
_Static_assert(offsetof(KeyData, bytes) == 48, "as others have found it");

#define BAD_ARGUMENT (-536870206) /* kIOReturnBadArgument */
#define NOT_PRIVILEGED (-536870207) /* kIOReturnNotPrivileged */
#define NOT_FOUND 0x84

static struct {
    uint32_t key, type, size;
    uint8_t bytes[32];
} keys[4096];
static int key_count;
static struct {
    pid_t owner;
    int open;
    char endpoint[128];
} connections[64];
static uint32_t connection_count;
static int opening_fails, answering_fails, refused;
static long calls;

uint32_t mach_task_self_ = 0x203;

extern int IORegistryEntryGetName(uint32_t entry, char *name);

static uint32_t code(const char *text)
{
    return (uint32_t)(uint8_t)text[0] << 24 | (uint32_t)(uint8_t)text[1] << 16 |
           (uint32_t)(uint8_t)text[2] << 8 | (uint8_t)text[3];
}

void standin_smc_key(const char *key, const char *type, const uint8_t *bytes, uint32_t size)
{
    int at = 0;
    while (at < key_count && keys[at].key != code(key))
        at++;
    key_count += at == key_count;
    keys[at].key = code(key);
    keys[at].type = code(type);
    keys[at].size = size;
    memcpy(keys[at].bytes, bytes, size < 32 ? size : 32);
}

void standin_smc_clear(void) { key_count = opening_fails = answering_fails = refused = 0, calls = 0; }
void standin_smc_opening_fails(int status) { opening_fails = status; }
void standin_smc_answering_fails(int status) { answering_fails = status; }
/* A command that this process may not give. */
void standin_smc_refuse(int command) { refused = command; }
long standin_smc_calls(void) { return calls; }
const char *standin_smc_endpoint(void) { return connections[connection_count - 1].endpoint; }

/* Connections that this process has opened and not closed. */
long standin_smc_open(void)
{
    long open = 0;
    for (uint32_t i = 0; i < connection_count; i++)
        open += connections[i].open && connections[i].owner == getpid();
    return open;
}

int IOServiceOpen(uint32_t service, uint32_t task, uint32_t type, uint32_t *connection)
{
    if (task != mach_task_self_ || type)
        standin_misuse("IOServiceOpen");
    if (opening_fails)
        return opening_fails;
    if (connection_count == 64)
        abort();
    if (IORegistryEntryGetName(service, connections[connection_count].endpoint))
        return BAD_ARGUMENT;
    connections[connection_count].owner = getpid();
    connections[connection_count].open = 1;
    *connection = 0x1000 + connection_count++;
    return 0;
}

/* A port is a name in one process: in a forked child the parent's names mean something else. */
static int use(uint32_t connection)
{
    uint32_t at = connection - 0x1000;
    if (at >= connection_count || !connections[at].open || connections[at].owner != getpid()) {
        standin_misuse("a connection that is closed, or of another process");
        return -1;
    }
    return (int)at;
}

int IOServiceClose(uint32_t connection)
{
    int at = use(connection);
    if (at < 0)
        return BAD_ARGUMENT;
    connections[at].open = 0;
    return 0;
}

int IOConnectCallStructMethod(uint32_t connection, uint32_t selector, const void *in,
                              size_t in_size, void *out, size_t *out_size)
{
    const KeyData *asked = in;
    KeyData answer = {0};
    calls++;
    if (use(connection) < 0 || selector != 2 || in_size != sizeof(KeyData) ||
        *out_size != sizeof(KeyData))
        return BAD_ARGUMENT;
    if (answering_fails)
        return answering_fails;
    if (refused && asked->command == refused)
        return NOT_PRIVILEGED;
    if (asked->command == 8) { /* kSMCGetKeyFromIndex */
        if (asked->index < (uint32_t)key_count)
            answer.key = keys[asked->index].key;
        else
            answer.result = NOT_FOUND;
    } else if (asked->command == 5 || asked->command == 9) { /* kSMCReadKey, kSMCGetKeyInfo */
        int at = 0;
        while (at < key_count && keys[at].key != asked->key)
            at++;
        if (at == key_count) {
            answer.result = NOT_FOUND;
        } else if (asked->command == 9) {
            answer.info.size = keys[at].size;
            answer.info.type = keys[at].type;
        } else if (asked->info.size != keys[at].size) {
            return BAD_ARGUMENT;
        } else {
            memcpy(answer.bytes, keys[at].bytes, 32);
        }
    } else {
        return BAD_ARGUMENT;
    }
    memcpy(out, &answer, sizeof answer);
    return 0;
}
