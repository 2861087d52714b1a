/* The compiled hot path: time an operation and count it in its cell.
 *
 * One behaviour with _recorder_pure.py; the same tests run on both. Python code admits series and
 * collects counts (_recorder_base.py); this file finds the cell of a series and adds to it.
 *
 * Exactness. Cells are shared by all threads. An update is plain C between two points where the
 * interpreter could switch threads or run a signal handler, so under the global interpreter lock it
 * is atomic, and a reader never sees half of one. A free-threaded interpreter has no such lock:
 * there this file does not compile, on purpose, and the pure recorder is used. It also means that
 * importing metalscope never switches the lock back on.
 *
 * Why an Operation is callable. `with` looks `__enter__` and `__exit__` up and binds both, which
 * for methods costs two allocations, as much as all the rest. The two names are therefore bound by
 * a descriptor that hands back the operation itself: called without arguments it enters, called
 * with three it leaves.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#ifdef Py_GIL_DISABLED
#error "free-threaded Python: the pure recorder is the exact one"
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_READONLY READONLY
#endif

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

enum { NOT_ENTERED = -1, UNTIMED = -2 };

enum {
    CACHE_LINE = 64,
    CACHE_SIZE = 1024,    /* places for cells found lately; a power of two */
    FREE_OPERATIONS = 64, /* finished operations kept for the next ones */
    OCTAVES = 64,
    STEPS = 8,            /* entries to an octave in the table of first edges */
    MAX_EDGES = 4096,
};

/* The clock of time.perf_counter_ns(), read without the call and the int object in between. */
static inline int64_t
clock_ns(void)
{
#ifdef __APPLE__
    /* mach_absolute_time() in ns, which is what CPython reads there. */
    return (int64_t)clock_gettime_nsec_np(CLOCK_UPTIME_RAW);
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
#endif
}

/* -- sums that cannot overflow --------------------------------------------------------------- */

typedef struct {
    uint64_t low, high;
} Wide;

static inline void
wide_add(Wide *sum, uint64_t value)
{
    sum->low += value;
    if (unlikely(sum->low < value)) {
        sum->high++;
    }
}

static PyObject *
wide_as_int(const Wide *sum)
{
    PyObject *low = PyLong_FromUnsignedLongLong(sum->low);
    if (low == NULL || sum->high == 0) {
        return low;
    }
    PyObject *high = PyLong_FromUnsignedLongLong(sum->high);
    PyObject *bits = PyLong_FromLong(64);
    PyObject *shifted = high && bits ? PyNumber_Lshift(high, bits) : NULL;
    PyObject *whole = shifted ? PyNumber_Or(shifted, low) : NULL;
    Py_XDECREF(shifted);
    Py_XDECREF(bits);
    Py_XDECREF(high);
    Py_DECREF(low);
    return whole;
}

/* -- types ----------------------------------------------------------------------------------- */

typedef struct {
    PyTypeObject *cell_type, *hook_type, *hot_type, *operation_type, *ready_type, *method_type,
        *recording_type;
    PyTypeObject *known;  /* the class of the last instance that one of its methods was called on */
    PyObject *unrecorded; /* the one operation that is not counted */
    PyObject *ok, *no_device, *room;
    PyObject *kind, *name, *nbytes, *device, *duration_ns, *error, *gpu_ns; /* parameters */
} State;

/* The counts of one series. What every operation touches comes first, and with the header of the
 * object fills one line of the processor's cache, on which cells are aligned. */
typedef struct {
    PyObject_HEAD
    PyObject *series; /* (kind, name, device, outcome) */
    bool open;        /* false once evicted: nothing more may be added */
    uint16_t last;    /* where in counts the last one was added: likely, the next too */
    uint64_t count, min_ns, max_ns; /* of those that were timed */
    Wide sum_ns;
    Wide nbytes;
    uint64_t untimed;
    uint64_t phase; /* passes 2**64 whenever the next operation is to be timed */
    Wide gpu_ns;
    uint64_t gpu_count;
    Py_ssize_t size;
    uint64_t counts[]; /* one more than there are edges */
} Cell;

struct operation;

typedef struct {
    PyObject *kind, *name, *device;
    Cell *cell;
} Place;

/* One of the operations that were counted last; see remember(). */
typedef struct {
    Cell *cell;
    int64_t duration_ns, nbytes, ended_ns;
    unsigned long thread;
} Remembered;

/* What `operation` and `record` are methods of. */
typedef struct {
    PyObject_HEAD
    State *state;
    PyObject *cells; /* the recorder's dict of all open cells by series */
    PyObject *admit, *outcome_of, *on_error;
    bool enabled;
    bool times_all;
    uint64_t step; /* the share of operations that is timed, of 2**64 */
    int free_count;
    struct operation *free[FREE_OPERATIONS];
    Place cache[CACHE_SIZE];
    Py_ssize_t edge_count;
    uint64_t *edges;                      /* ascending, UINT64_MAX behind the last */
    uint16_t first_edge[OCTAVES * STEPS]; /* by a duration's leading bits */
    int64_t look_above_ns; /* a longer operation is looked at again: one comparison for all of */
    int64_t notable_ns;    /* those that on_notable is told of, as of all that failed, */
    PyObject *on_notable;  /* NULL where nobody is told, */
    Remembered *ring;      /* and those that are remembered; NULL where none is */
    Py_ssize_t ring_size, ring_next;
    PyObject *divert_operation, *divert_record; /* NULL where nothing is diverted */
    PyObject *own, *foreign;                    /* context variables; the second may be NULL */
    PyObject *span_type, *modules, *foreign_module;
    Py_ssize_t modules_seen; /* how many there were when foreign_module was not among them */
    uint64_t skip; /* operations outside of any trace before the next that is diverted */
} HotPath;

/* What a manager inherits `operation` and `record` from. */
typedef struct {
    PyObject_HEAD
    HotPath *hot; /* NULL before _use() */
} Recording;

/* `Recording.operation` and its like. The interpreter calls what is flagged as a method descriptor
 * with the instance put before the arguments, and makes no object to bind it. It would do so for a
 * method in C too, but through checks that a subclass of its class never passes. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *name;
    State *state;
} Method;

/* Holds only strings, a cell and its hot path, none of which leads back to it, so the cycle
 * collector need not know it. */
typedef struct operation {
    PyObject_HEAD
    vectorcallfunc call;
    HotPath *hot; /* NULL in the one that is not counted */
    Cell *cell;
    PyObject *outcome; /* set by set_error() */
    int64_t start;     /* NOT_ENTERED, UNTIMED, or the clock */
    int64_t nbytes;
    int64_t gpu_ns; /* -1 where there is none */
} Operation;

/* `Operation.__enter__` and its like: bound, it is the operation; unbound, it takes one. */
typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *name;
} Hook;

/* What `await op.__aenter__()` awaits: ready at once. */
typedef struct {
    PyObject_HEAD
    PyObject *value;
} Ready;

/* -- cells ----------------------------------------------------------------------------------- */

/* bisect_left(EDGES_NS, ns): the leading four bits lead to within a few edges of it. */
static inline Py_ssize_t
cell_index(const HotPath *hot, uint64_t ns)
{
    unsigned key = (unsigned)ns;
    if (ns >= STEPS) {
        unsigned exponent = 63 - (unsigned)__builtin_clzll(ns);
        key = exponent * STEPS + (unsigned)((ns >> (exponent - 3)) & (STEPS - 1));
    }
    Py_ssize_t index = hot->first_edge[key];
    while (hot->edges[index] < ns) {
        index++;
    }
    return index;
}

/* A negative duration is that of an operation which was not timed. */
static inline void
cell_add(Cell *cell, const HotPath *hot, int64_t duration_ns, int64_t nbytes, int64_t gpu_ns)
{
    if (likely(duration_ns >= 0)) {
        uint64_t ns = (uint64_t)duration_ns;
        cell->count++;
        Py_ssize_t index = cell_index(hot, ns);
        cell->counts[index]++;
        cell->last = (uint16_t)index;
        wide_add(&cell->sum_ns, ns);
        if (ns < cell->min_ns) {
            cell->min_ns = ns;
        }
        if (ns > cell->max_ns) {
            cell->max_ns = ns;
        }
    }
    else {
        cell->untimed++;
    }
    if (nbytes > 0) {
        wide_add(&cell->nbytes, (uint64_t)nbytes);
    }
    if (gpu_ns >= 0) {
        wide_add(&cell->gpu_ns, (uint64_t)gpu_ns);
        cell->gpu_count++;
    }
}

static void
cell_dealloc(Cell *cell)
{
    PyTypeObject *type = Py_TYPE(cell);
    Py_XDECREF(cell->series);
    free(cell);
    Py_DECREF(type);
}

static PyObject *
cell_close(Cell *cell, PyObject *Py_UNUSED(ignored))
{
    cell->open = false;
    Py_RETURN_NONE;
}

static PyObject *
cell_cells(const Cell *cell)
{
    Py_ssize_t used = 0, next = 0;
    for (Py_ssize_t index = 0; index < cell->size; index++) {
        used += cell->counts[index] != 0;
    }
    PyObject *cells = PyTuple_New(used);
    for (Py_ssize_t index = 0; cells != NULL && next < used; index++) {
        if (cell->counts[index] == 0) {
            continue;
        }
        PyObject *pair = PyTuple_New(2);
        PyObject *place = pair ? PyLong_FromSsize_t(index) : NULL;
        PyObject *count = place ? PyLong_FromUnsignedLongLong(cell->counts[index]) : NULL;
        if (count == NULL) {
            Py_XDECREF(place);
            Py_XDECREF(pair);
            Py_CLEAR(cells);
            break;
        }
        PyTuple_SET_ITEM(pair, 0, place);
        PyTuple_SET_ITEM(pair, 1, count);
        PyTuple_SET_ITEM(cells, next++, pair);
    }
    return cells;
}

static PyObject *
cell_read(Cell *cell, PyObject *Py_UNUSED(ignored))
{
    /* Making objects can run the cycle collector and with it any code: read from a copy. */
    size_t bytes = offsetof(Cell, counts) + (size_t)cell->size * sizeof(uint64_t);
    Cell *now = PyMem_Malloc(bytes);
    if (now == NULL) {
        return PyErr_NoMemory();
    }
    memcpy(now, cell, bytes);
    PyObject *result = NULL;
    PyObject *cells = cell_cells(now);
    PyObject *sum_ns = wide_as_int(&now->sum_ns);
    PyObject *min_ns = PyLong_FromUnsignedLongLong(now->min_ns);
    PyObject *max_ns = PyLong_FromUnsignedLongLong(now->max_ns);
    PyObject *nbytes = wide_as_int(&now->nbytes);
    PyObject *gpu_ns = wide_as_int(&now->gpu_ns);
    PyObject *gpu_count = PyLong_FromUnsignedLongLong(now->gpu_count);
    PyObject *untimed = PyLong_FromUnsignedLongLong(now->untimed);
    if (cells && sum_ns && min_ns && max_ns && nbytes && gpu_ns && gpu_count && untimed) {
        result = PyTuple_Pack(8, cells, sum_ns, now->count ? min_ns : Py_None,
                              now->count ? max_ns : Py_None, nbytes, gpu_ns, gpu_count, untimed);
    }
    Py_XDECREF(cells);
    Py_XDECREF(sum_ns);
    Py_XDECREF(min_ns);
    Py_XDECREF(max_ns);
    Py_XDECREF(nbytes);
    Py_XDECREF(gpu_ns);
    Py_XDECREF(gpu_count);
    Py_XDECREF(untimed);
    PyMem_Free(now);
    return result;
}

static PyObject *
cell_total(Cell *cell, PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromUnsignedLongLong(cell->count + cell->untimed);
}

static PyMethodDef cell_methods[] = {
    {"close", (PyCFunction)cell_close, METH_NOARGS,
     PyDoc_STR("close($self, /)\n--\n\nLet nothing more be added.")},
    {"total", (PyCFunction)cell_total, METH_NOARGS,
     PyDoc_STR("total($self, /)\n--\n\nReturn how many operations were counted.")},
    {"read", (PyCFunction)cell_read, METH_NOARGS,
     PyDoc_STR("read($self, /)\n--\n\nReturn cells, sum_ns, min_ns, max_ns, nbytes, gpu_ns, "
               "gpu_count, untimed.")},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef cell_members[] = {
    {"series", Py_T_OBJECT_EX, offsetof(Cell, series), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot cell_slots[] = {
    {Py_tp_doc, "The counts of one series. Made by HotPath.new_cell()."},
    {Py_tp_dealloc, cell_dealloc},
    {Py_tp_methods, cell_methods},
    {Py_tp_members, cell_members},
    {0, NULL},
};

static PyType_Spec cell_spec = {
    .name = "metalscope._core.Cell",
    .basicsize = sizeof(Cell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = cell_slots,
};

/* -- what goes wrong ------------------------------------------------------------------------- */

static PyObject *
take_raised(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

/* Give the exception that is set to on_error. What is no Exception, as Ctrl-C, stays set: -1. */
static int
report(const HotPath *hot)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyObject *raised = take_raised();
    PyObject *on_error = Py_NewRef(hot->on_error);
    PyObject *done = PyObject_CallFunctionObjArgs(on_error, hot->state->room, raised, NULL);
    int status = 0;
    if (done == NULL) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_WriteUnraisable(on_error);
        }
        else {
            status = -1;
        }
    }
    Py_XDECREF(done);
    Py_DECREF(on_error);
    Py_DECREF(raised);
    return status;
}

/* A whole number from 0 to 2**63 - 1, or -1 with an exception set. */
static int64_t
as_amount(PyObject *value, const char *what)
{
    PyObject *whole = PyNumber_Index(value);
    if (whole == NULL) {
        return -1;
    }
    int overflow;
    long long amount = PyLong_AsLongLongAndOverflow(whole, &overflow);
    if (overflow || amount < 0) {
        PyErr_Format(PyExc_ValueError, "%s must be from 0 to 2**63 - 1, not %R", what, whole);
        amount = -1;
    }
    Py_DECREF(whole);
    return amount;
}

/* The same, and what is wrong is reported and leaves *amount as it was. -1: raise. */
static int
take_amount(const HotPath *hot, PyObject *value, const char *what, int64_t *amount)
{
    int64_t taken = as_amount(value, what);
    if (unlikely(taken < 0)) {
        return report(hot);
    }
    *amount = taken;
    return 0;
}

/* -- what is looked at besides ---------------------------------------------------------------- */

static void
remember(HotPath *hot, Cell *cell, int64_t duration_ns, int64_t nbytes)
{
    Remembered *place = &hot->ring[hot->ring_next];
    hot->ring_next = (hot->ring_next + 1) % hot->ring_size;
    Cell *old = place->cell;
    *place = (Remembered){(Cell *)Py_NewRef(cell), duration_ns, nbytes, clock_ns(),
                          PyThread_get_thread_ident()};
    Py_XDECREF(old);
}

static void
forget_ring(HotPath *hot)
{
    Remembered *ring = hot->ring;
    Py_ssize_t size = hot->ring_size;
    hot->ring = NULL;
    hot->ring_size = hot->ring_next = 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(ring[i].cell);
    }
    PyMem_Free(ring);
}

static PyObject *
ns_or_none(int64_t ns)
{
    return ns < 0 ? Py_NewRef(Py_None) : PyLong_FromLongLong(ns);
}

static int
tell(HotPath *hot, const Cell *cell, int64_t duration_ns, int64_t nbytes, int64_t gpu_ns,
     PyObject *error)
{
    PyObject *told = Py_NewRef(hot->on_notable);
    PyObject *series = Py_NewRef(cell->series);
    PyObject *duration = ns_or_none(duration_ns);
    PyObject *size = PyLong_FromLongLong(nbytes);
    PyObject *gpu = ns_or_none(gpu_ns);
    PyObject *done = NULL;
    if (duration && size && gpu) {
        done = PyObject_CallFunctionObjArgs(told, series, duration, size, gpu,
                                            error ? error : Py_None, NULL);
    }
    Py_XDECREF(gpu);
    Py_XDECREF(size);
    Py_XDECREF(duration);
    Py_DECREF(series);
    Py_DECREF(told);
    if (done == NULL) {
        return report(hot);
    }
    Py_DECREF(done);
    return 0;
}

/* After it was counted. -1: raise. */
static int
look_at(HotPath *hot, Cell *cell, int64_t duration_ns, int64_t nbytes, int64_t gpu_ns,
        bool failed, PyObject *error)
{
    if (hot->ring != NULL) {
        remember(hot, cell, duration_ns, nbytes);
    }
    if (hot->on_notable != NULL && (failed || duration_ns > hot->notable_ns)) {
        return tell(hot, cell, duration_ns, nbytes, gpu_ns, error);
    }
    return 0;
}

/* Whether the program is in another library's trace, which then has loaded that library. */
static inline bool
is_in_foreign(HotPath *hot)
{
    if (hot->foreign == NULL) {
        /* Python code finds the variable as soon as there is one. It comes with many modules. */
        if (likely(hot->foreign_module == NULL
                   || PyDict_GET_SIZE(hot->modules) == hot->modules_seen)) {
            return false;
        }
        bool is = PyDict_GetItemWithError(hot->modules, hot->foreign_module) != NULL;
        hot->modules_seen = is ? -1 : PyDict_GET_SIZE(hot->modules);
        return is;
    }
    PyObject *context;
    if (PyContextVar_Get(hot->foreign, NULL, &context) < 0 || context == NULL) {
        return false;
    }
    bool is = PyDict_Check(context) && PyDict_GET_SIZE(context) != 0;
    Py_DECREF(context);
    return is;
}

/* Whether an operation is for Python code: it runs in a span, or begins a trace that is kept. */
static inline bool
is_diverted(HotPath *hot)
{
    PyObject *span;
    if (PyContextVar_Get(hot->own, Py_None, &span) < 0) {
        PyErr_Clear();
        return false;
    }
    bool in_trace = span != Py_None;
    bool in_span = (PyObject *)Py_TYPE(span) == hot->span_type;
    Py_DECREF(span);
    if (in_span || is_in_foreign(hot)) {
        return true;
    }
    if (unlikely(PyErr_Occurred() != NULL)) {
        PyErr_Clear();
    }
    if (in_trace) {
        return false;
    }
    if (hot->skip == 0) {
        return true;
    }
    hot->skip--;
    return false;
}

/* -- finding the cell ------------------------------------------------------------------------ */

static inline Place *
place_of(HotPath *hot, PyObject *kind, PyObject *name, PyObject *device)
{
    /* The hash an exact string remembers; -1 before the first use, which hashes it. */
    Py_hash_t hash = ((PyASCIIObject *)name)->hash;
    if (unlikely(hash == -1)) {
        hash = PyObject_Hash(name);
    }
    uintptr_t mixed = (uintptr_t)hash ^ ((uintptr_t)kind >> 4) ^ ((uintptr_t)device >> 5);
    return &hot->cache[(mixed ^ (mixed >> 10)) & (CACHE_SIZE - 1)];
}

static inline bool
same_text(PyObject *a, PyObject *b)
{
    return a == b
           || (PyUnicode_GET_LENGTH(a) == PyUnicode_GET_LENGTH(b) && PyUnicode_Compare(a, b) == 0);
}

static inline bool
holds(const Place *place, PyObject *kind, PyObject *name, PyObject *device)
{
    return place->kind == kind && place->device == device && place->cell->open
           && same_text(place->name, name);
}

static inline bool
is_free(const Place *place)
{
    return place->cell == NULL || !place->cell->open;
}

static void
keep_in(Place *place, PyObject *kind, PyObject *name, PyObject *device, Cell *cell)
{
    Place old = *place;
    *place = (Place){Py_NewRef(kind), Py_NewRef(name), Py_NewRef(device),
                     (Cell *)Py_NewRef(cell)};
    Py_XDECREF(old.kind);
    Py_XDECREF(old.name);
    Py_XDECREF(old.device);
    Py_XDECREF(old.cell);
}

static Cell *
look_up_once(HotPath *hot, PyObject *kind, PyObject *name, PyObject *device, PyObject *outcome)
{
    PyObject *key = PyTuple_Pack(4, kind, name, device, outcome);
    PyObject *found = key ? PyDict_GetItemWithError(hot->cells, key) : NULL;
    Py_XINCREF(found);
    Py_XDECREF(key);
    if (found == NULL) {
        if (PyErr_Occurred()) {
            if (!PyErr_ExceptionMatches(PyExc_Exception)) {
                return NULL;
            }
            PyErr_Clear(); /* a name that cannot be hashed can still be shown */
        }
        PyObject *admit = Py_NewRef(hot->admit);
        found = PyObject_CallFunctionObjArgs(admit, kind, name, device, outcome, NULL);
        Py_DECREF(admit);
    }
    if (found != NULL && !Py_IS_TYPE(found, hot->state->cell_type)) {
        PyErr_Format(PyExc_TypeError, "admit() must return a Cell, not %R", found);
        Py_CLEAR(found);
    }
    if (found == NULL) {
        report(hot);
    }
    return (Cell *)found;
}

/* Through the dict of all cells, or by admitting the series. A new reference, open; NULL where that
 * failed: reported then, unless an exception is set. */
static Cell *
look_up(HotPath *hot, PyObject *kind, PyObject *name, PyObject *device, PyObject *outcome)
{
    Cell *cell = look_up_once(hot, kind, name, device, outcome);
    /* Another thread may have evicted it on the way out of admit(). */
    while (unlikely(cell != NULL && !cell->open)) {
        PyObject *series = cell->series;
        Cell *next = look_up_once(hot, PyTuple_GET_ITEM(series, 0), PyTuple_GET_ITEM(series, 1),
                                  PyTuple_GET_ITEM(series, 2), outcome);
        Py_DECREF(cell);
        cell = next;
    }
    return cell;
}

/* The cell of a series whose outcome is ok, from the cache if it can be. As look_up(). */
static inline Cell *
find_ok(HotPath *hot, PyObject *kind, PyObject *name, PyObject *device)
{
    if (unlikely(!PyUnicode_CheckExact(name) || !PyUnicode_Check(kind))) {
        return look_up(hot, kind, name, device, hot->state->ok);
    }
    Place *place = place_of(hot, kind, name, device);
    if (likely(holds(place, kind, name, device))) {
        return (Cell *)Py_NewRef(place->cell);
    }
    Place *neighbour = &hot->cache[(place - hot->cache) ^ 1];
    if (likely(holds(neighbour, kind, name, device))) {
        return (Cell *)Py_NewRef(neighbour->cell);
    }
    Cell *cell = look_up(hot, kind, name, device, hot->state->ok);
    /* An overflowing name has no cell of its own, and must be seen to overflow each time. Only
     * what no code runs for when it is let go is kept: plain strings and the kinds themselves. */
    if (cell != NULL && PyUnicode_CheckExact(device)
        && (PyUnicode_CheckExact(kind) || kind == PyTuple_GET_ITEM(cell->series, 0))) {
        PyObject *own = PyTuple_GET_ITEM(cell->series, 1);
        PyObject *own_device = PyTuple_GET_ITEM(cell->series, 2);
        if (PyUnicode_CheckExact(own) && PyUnicode_CheckExact(own_device) && same_text(own, name)
            && same_text(own_device, device)) {
            place = !is_free(place) && is_free(neighbour) ? neighbour : place;
            keep_in(place, kind, name, device, cell);
        }
    }
    return cell;
}

/* Count an operation that is not just ok, or whose cell was evicted since it began. */
static int
count_elsewhere(HotPath *hot, const Cell *cell, PyObject *outcome, int64_t duration_ns,
                int64_t nbytes, int64_t gpu_ns, PyObject *error)
{
    PyObject *series = Py_NewRef(cell->series);
    Cell *other = look_up(hot, PyTuple_GET_ITEM(series, 0), PyTuple_GET_ITEM(series, 1),
                          PyTuple_GET_ITEM(series, 2), outcome);
    Py_DECREF(series);
    if (other == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    cell_add(other, hot, duration_ns, nbytes, gpu_ns);
    bool failed = PyUnicode_Check(outcome) && PyUnicode_Compare(outcome, hot->state->ok) != 0;
    int status = 0;
    if (failed || duration_ns > hot->look_above_ns) {
        status = look_at(hot, other, duration_ns, nbytes, gpu_ns, failed, error);
    }
    Py_DECREF(other);
    return status;
}

/* -- operations ------------------------------------------------------------------------------ */

static PyObject *op_vectorcall(PyObject *, PyObject *const *, size_t, PyObject *);

static Operation *
op_new(HotPath *hot, State *state)
{
    Operation *op;
    if (likely(hot != NULL && hot->free_count > 0)) {
        op = hot->free[--hot->free_count];
#if defined(Py_REF_DEBUG) || defined(Py_TRACE_REFS)
        _Py_NewReference((PyObject *)op);
#else
        Py_SET_REFCNT(op, 1);
#endif
    }
    else {
        op = PyObject_New(Operation, state->operation_type);
        if (op == NULL) {
            return NULL;
        }
        op->call = op_vectorcall;
    }
    op->hot = hot;
    Py_XINCREF(hot);
    op->cell = NULL;
    op->outcome = NULL;
    op->start = NOT_ENTERED;
    op->nbytes = 0;
    op->gpu_ns = -1;
    return op;
}

static void
op_dealloc(Operation *op)
{
    HotPath *hot = op->hot;
    Py_XDECREF(op->cell);
    Py_XDECREF(op->outcome);
    if (likely(hot != NULL && hot->free_count < FREE_OPERATIONS)) {
        hot->free[hot->free_count++] = op;
        Py_DECREF(hot);
        return;
    }
    PyTypeObject *type = Py_TYPE(op);
    PyObject_Free(op);
    Py_DECREF(type);
    Py_XDECREF(hot);
}

static inline PyObject *
op_enter(Operation *op)
{
    Py_INCREF(op);
    if (likely(op->hot != NULL && op->start != UNTIMED)) {
        op->start = clock_ns();
    }
    return (PyObject *)op;
}

static int
op_leave_slowly(Operation *op, PyObject *exception, int64_t duration_ns)
{
    HotPath *hot = op->hot;
    if (op->start == NOT_ENTERED) {
        PyErr_SetString(PyExc_RuntimeError, "an operation was left that had not been entered");
        return report(hot);
    }
    PyObject *outcome = NULL;
    if (op->outcome != NULL) {
        outcome = Py_NewRef(op->outcome);
    }
    else if (exception != Py_None) {
        outcome = PyObject_CallOneArg(hot->outcome_of, exception);
        if (outcome == NULL) {
            return report(hot);
        }
    }
    int status = count_elsewhere(hot, op->cell, outcome ? outcome : hot->state->ok, duration_ns,
                                 op->nbytes, op->gpu_ns, exception);
    Py_XDECREF(outcome);
    return status;
}

static inline PyObject *
op_leave(Operation *op, PyObject *exception)
{
    if (likely(op->hot != NULL)) {
        int64_t duration_ns = likely(op->start != UNTIMED) ? clock_ns() - op->start : UNTIMED;
        if (likely(exception == Py_None && op->outcome == NULL && op->start != NOT_ENTERED
                   && op->cell->open)) {
            cell_add(op->cell, op->hot, duration_ns, op->nbytes, op->gpu_ns);
            if (unlikely(duration_ns > op->hot->look_above_ns)
                && look_at(op->hot, op->cell, duration_ns, op->nbytes, op->gpu_ns, false, NULL)
                       < 0) {
                return NULL;
            }
        }
        else if (op_leave_slowly(op, exception, duration_ns) < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
op_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    if (likely(kwnames == NULL || PyTuple_GET_SIZE(kwnames) == 0)) {
        if (count == 3) {
            return op_leave((Operation *)self, args[1]);
        }
        if (count == 0) {
            return op_enter((Operation *)self);
        }
    }
    PyErr_SetString(PyExc_TypeError,
                    "an operation is entered without arguments and left with three");
    return NULL;
}

static PyObject *
ready(State *state, PyObject *value)
{
    if (value == NULL) {
        return NULL;
    }
    Ready *one = PyObject_New(Ready, state->ready_type);
    if (one == NULL) {
        Py_DECREF(value);
        return NULL;
    }
    one->value = value;
    return (PyObject *)one;
}

static PyObject *
op_aenter(PyObject *self, PyTypeObject *defining, PyObject *const *Py_UNUSED(args),
          Py_ssize_t count, PyObject *kwnames)
{
    if (count != 0 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "__aenter__() takes no arguments");
        return NULL;
    }
    return ready(PyType_GetModuleState(defining), op_enter((Operation *)self));
}

static PyObject *
op_aexit(PyObject *self, PyTypeObject *defining, PyObject *const *args, Py_ssize_t count,
         PyObject *kwnames)
{
    if (count != 3 || (kwnames != NULL && PyTuple_GET_SIZE(kwnames) != 0)) {
        PyErr_SetString(PyExc_TypeError, "__aexit__() takes three arguments");
        return NULL;
    }
    return ready(PyType_GetModuleState(defining), op_leave((Operation *)self, args[1]));
}

static PyObject *
op_set_error(Operation *op, PyObject *error)
{
    if (op->hot == NULL) {
        Py_RETURN_NONE;
    }
    PyObject *outcome = NULL;
    if (error != Py_None) {
        outcome = PyObject_CallOneArg(op->hot->outcome_of, error);
        if (outcome == NULL && report(op->hot) < 0) {
            return NULL;
        }
    }
    Py_XSETREF(op->outcome, outcome);
    Py_RETURN_NONE;
}

static PyObject *
op_add_bytes(Operation *op, PyObject *value)
{
    if (op->hot == NULL) {
        Py_RETURN_NONE;
    }
    int64_t more = 0;
    if (take_amount(op->hot, value, "nbytes", &more) < 0) {
        return NULL;
    }
    if (more > INT64_MAX - op->nbytes) {
        PyErr_SetString(PyExc_ValueError, "nbytes of one operation must be below 2**63");
        if (report(op->hot) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    op->nbytes += more;
    Py_RETURN_NONE;
}

static PyObject *
op_set_gpu_ns(Operation *op, PyObject *value)
{
    if (op->hot != NULL && take_amount(op->hot, value, "gpu_ns", &op->gpu_ns) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef op_methods[] = {
    {"set_error", (PyCFunction)op_set_error, METH_O,
     PyDoc_STR("set_error($self, error, /)\n--\n\n"
               "Count the operation as failed although no exception leaves the block.")},
    {"add_bytes", (PyCFunction)op_add_bytes, METH_O,
     PyDoc_STR("add_bytes($self, nbytes, /)\n--\n\n"
               "Add to the bytes the operation moved or allocated.")},
    {"set_gpu_ns", (PyCFunction)op_set_gpu_ns, METH_O,
     PyDoc_STR("set_gpu_ns($self, gpu_ns, /)\n--\n\n"
               "Say how long the device itself was busy, ns.")},
    {"__aenter__", (PyCFunction)(void (*)(void))op_aenter,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {"__aexit__", (PyCFunction)(void (*)(void))op_aexit,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef op_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(Operation, call), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot op_slots[] = {
    {Py_tp_doc, "Times one operation as a context manager, sync or async.\n\n"
                "An exception passes through untouched and makes the outcome the MetalError it is "
                "read as;\nsee metalscope.errors.classify()."},
    {Py_tp_dealloc, op_dealloc},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, op_methods},
    {Py_tp_members, op_members},
    {0, NULL},
};

static PyType_Spec op_spec = {
    .name = "metalscope._core.Operation",
    .basicsize = sizeof(Operation),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = op_slots,
};

/* -- __enter__ and __exit__ ------------------------------------------------------------------ */

static PyObject *
hook_get(PyObject *self, PyObject *operation, PyObject *Py_UNUSED(type))
{
    return Py_NewRef(operation != NULL ? operation : self);
}

static PyObject *
hook_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    State *state = PyType_GetModuleState(Py_TYPE(self));
    if (count < 1 || !Py_IS_TYPE(args[0], state->operation_type)) {
        PyErr_Format(PyExc_TypeError, "%U() needs an operation", ((Hook *)self)->name);
        return NULL;
    }
    return op_vectorcall(args[0], args + 1, (size_t)(count - 1), kwnames);
}

static void
hook_dealloc(Hook *hook)
{
    PyTypeObject *type = Py_TYPE(hook);
    Py_XDECREF(hook->name);
    PyObject_Free(hook);
    Py_DECREF(type);
}

static PyMemberDef hook_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(Hook, call), Py_READONLY, NULL},
    {"__name__", Py_T_OBJECT_EX, offsetof(Hook, name), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot hook_slots[] = {
    {Py_tp_doc, "Binds to the operation itself."},
    {Py_tp_dealloc, hook_dealloc},
    {Py_tp_descr_get, hook_get},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, hook_members},
    {0, NULL},
};

static PyType_Spec hook_spec = {
    .name = "metalscope._core.Hook",
    .basicsize = sizeof(Hook),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hook_slots,
};

static int
add_hook(State *state, const char *name)
{
    Hook *hook = PyObject_New(Hook, state->hook_type);
    if (hook == NULL) {
        return -1;
    }
    hook->call = hook_vectorcall;
    hook->name = PyUnicode_InternFromString(name);
    int status = hook->name == NULL ? -1
                                    : PyObject_SetAttr((PyObject *)state->operation_type,
                                                       hook->name, (PyObject *)hook);
    Py_DECREF(hook);
    return status;
}

/* -- awaiting what is ready ------------------------------------------------------------------ */

static PySendResult
ready_send(Ready *one, PyObject *Py_UNUSED(sent), PyObject **result)
{
    PyObject *value = one->value;
    one->value = NULL;
    if (value == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this was awaited already");
        *result = NULL;
        return PYGEN_ERROR;
    }
    *result = value;
    return PYGEN_RETURN;
}

static PyObject *
ready_next(Ready *one)
{
    PyObject *value;
    if (ready_send(one, Py_None, &value) == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, value);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        Py_DECREF(value);
    }
    return NULL;
}

static void
ready_dealloc(Ready *one)
{
    PyTypeObject *type = Py_TYPE(one);
    Py_XDECREF(one->value);
    PyObject_Free(one);
    Py_DECREF(type);
}

static PyType_Slot ready_slots[] = {
    {Py_tp_doc, "An awaitable that is ready at once."},
    {Py_tp_dealloc, ready_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, ready_next},
    {Py_am_await, PyObject_SelfIter},
    {Py_am_send, ready_send},
    {0, NULL},
};

static PyType_Spec ready_spec = {
    .name = "metalscope._core.Ready",
    .basicsize = sizeof(Ready),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = ready_slots,
};

/* -- the hot path ---------------------------------------------------------------------------- */

/* Put a call's arguments into slots, which lie as names do; the first two must be there. */
static int
bind_arguments(const char *function, PyObject *const *args, Py_ssize_t count, PyObject *kwnames,
     PyObject *const *names, PyObject **slots, Py_ssize_t slot_count)
{
    if (unlikely(count > 2)) {
        PyErr_Format(PyExc_TypeError, "%s() takes 2 positional arguments but %zd were given",
                     function, count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        slots[i] = args[i];
    }
    Py_ssize_t keywords = kwnames == NULL ? 0 : PyTuple_GET_SIZE(kwnames);
    for (Py_ssize_t k = 0; k < keywords; k++) {
        PyObject *keyword = PyTuple_GET_ITEM(kwnames, k);
        Py_ssize_t slot = 0;
        while (slot < slot_count && names[slot] != keyword) {
            slot++;
        }
        if (unlikely(slot == slot_count)) {
            slot = 0;
            while (slot < slot_count && PyUnicode_Compare(names[slot], keyword) != 0) {
                slot++;
            }
        }
        if (unlikely(slot == slot_count)) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument '%U'", function,
                         keyword);
            return -1;
        }
        if (unlikely(slots[slot] != NULL)) {
            PyErr_Format(PyExc_TypeError, "%s() got multiple values for argument '%U'", function,
                         keyword);
            return -1;
        }
        slots[slot] = args[count + k];
    }
    for (Py_ssize_t i = 0; i < 2; i++) {
        if (unlikely(slots[i] == NULL)) {
            PyErr_Format(PyExc_TypeError, "%s() missing a required argument: '%U'", function,
                         names[i]);
            return -1;
        }
    }
    return 0;
}

static PyObject *
hot_plain_operation(HotPath *hot, PyObject *const *args, Py_ssize_t count, PyObject *kwnames)
{
    State *state = hot->state;
    PyObject *kind, *name, *nbytes = NULL, *device = state->no_device;
    if (likely(count == 2 && kwnames == NULL)) {
        kind = args[0];
        name = args[1];
    }
    else {
        PyObject *const names[] = {state->kind, state->name, state->nbytes, state->device};
        PyObject *slots[4] = {NULL};
        if (bind_arguments("operation", args, count, kwnames, names, slots, 4) < 0) {
            return NULL;
        }
        kind = slots[0];
        name = slots[1];
        nbytes = slots[2];
        device = slots[3] != NULL ? slots[3] : device;
    }
    if (unlikely(!hot->enabled)) {
        return Py_NewRef(state->unrecorded);
    }
    Cell *cell = find_ok(hot, kind, name, device);
    if (unlikely(cell == NULL)) {
        return PyErr_Occurred() ? NULL : Py_NewRef(state->unrecorded);
    }
    Operation *op = op_new(hot, state);
    if (unlikely(op == NULL)) {
        Py_DECREF(cell);
        return NULL;
    }
    op->cell = cell;
    __builtin_prefetch(&cell->counts[cell->last], 1);
    if (unlikely(!hot->times_all)) {
        cell->phase += hot->step;
        if (cell->phase >= hot->step) {
            op->start = UNTIMED;
        }
    }
    if (nbytes != NULL && take_amount(hot, nbytes, "nbytes", &op->nbytes) < 0) {
        Py_DECREF(op);
        return NULL;
    }
    return (PyObject *)op;
}

/* What a diversion returned; where it raised, that is reported and false returned. */
static bool
was_diverted(HotPath *hot, PyObject *divert, PyObject *const *args, Py_ssize_t count,
             PyObject *kwnames, PyObject **result)
{
    Py_INCREF(divert);
    *result = PyObject_Vectorcall(divert, args, (size_t)count, kwnames);
    Py_DECREF(divert);
    /* A call with wrong arguments must raise as it does without a diversion. */
    return *result != NULL || report(hot) < 0;
}

static PyObject *
hot_operation(HotPath *hot, PyObject *const *args, Py_ssize_t count, PyObject *kwnames)
{
    PyObject *result;
    if (unlikely(hot->divert_operation != NULL) && is_diverted(hot)
        && was_diverted(hot, hot->divert_operation, args, count, kwnames, &result)) {
        return result;
    }
    return hot_plain_operation(hot, args, count, kwnames);
}

static int
count_failure(HotPath *hot, PyObject *kind, PyObject *name, PyObject *device, PyObject *error,
              int64_t duration_ns, int64_t nbytes, int64_t gpu_ns)
{
    PyObject *outcome = PyObject_CallOneArg(hot->outcome_of, error);
    if (outcome == NULL) {
        return report(hot);
    }
    Cell *cell = look_up(hot, kind, name, device, outcome);
    Py_DECREF(outcome);
    if (cell == NULL) {
        return PyErr_Occurred() ? -1 : 0;
    }
    cell_add(cell, hot, duration_ns, nbytes, gpu_ns);
    bool failed = PyUnicode_Compare(PyTuple_GET_ITEM(cell->series, 3), hot->state->ok) != 0;
    int status = 0;
    if (failed || duration_ns > hot->look_above_ns) {
        PyObject *raised = PyExceptionInstance_Check(error) ? error : NULL;
        status = look_at(hot, cell, duration_ns, nbytes, gpu_ns, failed, raised);
    }
    Py_DECREF(cell);
    return status;
}

static PyObject *
hot_plain_record(HotPath *hot, PyObject *const *args, Py_ssize_t count, PyObject *kwnames)
{
    State *state = hot->state;
    PyObject *const names[] = {state->kind,  state->name,   state->duration_ns, state->nbytes,
                               state->error, state->device, state->gpu_ns};
    PyObject *slots[7] = {NULL};
    if (bind_arguments("record", args, count, kwnames, names, slots, 7) < 0) {
        return NULL;
    }
    if (unlikely(slots[2] == NULL)) {
        PyErr_SetString(PyExc_TypeError, "record() missing a required argument: 'duration_ns'");
        return NULL;
    }
    if (unlikely(!hot->enabled)) {
        Py_RETURN_NONE;
    }
    int64_t duration_ns = as_amount(slots[2], "duration_ns");
    if (unlikely(duration_ns < 0)) {
        if (report(hot) < 0) {
            return NULL;
        }
        Py_RETURN_NONE;
    }
    int64_t nbytes = 0, gpu_ns = -1;
    if ((slots[3] != NULL && take_amount(hot, slots[3], "nbytes", &nbytes) < 0)
        || (slots[6] != NULL && slots[6] != Py_None
            && take_amount(hot, slots[6], "gpu_ns", &gpu_ns) < 0)) {
        return NULL;
    }
    PyObject *device = slots[5] != NULL ? slots[5] : state->no_device;
    if (likely(slots[4] == NULL || slots[4] == Py_None)) {
        Cell *cell = find_ok(hot, slots[0], slots[1], device);
        if (likely(cell != NULL)) {
            cell_add(cell, hot, duration_ns, nbytes, gpu_ns);
            int status = 0;
            if (unlikely(duration_ns > hot->look_above_ns)) {
                status = look_at(hot, cell, duration_ns, nbytes, gpu_ns, false, NULL);
            }
            Py_DECREF(cell);
            if (status < 0) {
                return NULL;
            }
        }
        else if (PyErr_Occurred()) {
            return NULL;
        }
    }
    else if (count_failure(hot, slots[0], slots[1], device, slots[4], duration_ns, nbytes, gpu_ns)
             < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
hot_record(HotPath *hot, PyObject *const *args, Py_ssize_t count, PyObject *kwnames)
{
    PyObject *result;
    if (unlikely(hot->divert_record != NULL) && is_diverted(hot)
        && was_diverted(hot, hot->divert_record, args, count, kwnames, &result)) {
        return result;
    }
    return hot_plain_record(hot, args, count, kwnames);
}

static void
set_look_above(HotPath *hot)
{
    hot->look_above_ns = hot->ring != NULL          ? INT64_MIN
                         : hot->on_notable != NULL ? hot->notable_ns
                                                   : INT64_MAX;
}

static PyObject *
hot_watch(HotPath *hot, PyObject *args)
{
    PyObject *told;
    long long above_ns;
    if (!PyArg_ParseTuple(args, "LO:watch", &above_ns, &told)) {
        return NULL;
    }
    hot->notable_ns = above_ns;
    Py_XSETREF(hot->on_notable, told == Py_None ? NULL : Py_NewRef(told));
    set_look_above(hot);
    Py_RETURN_NONE;
}

static PyObject *
hot_remember(HotPath *hot, PyObject *size)
{
    Py_ssize_t count = PyNumber_AsSsize_t(size, PyExc_OverflowError);
    if (count == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (count < 0 || count > 65536) {
        PyErr_SetString(PyExc_ValueError, "from 0 to 65536 operations can be remembered");
        return NULL;
    }
    forget_ring(hot);
    if (count > 0) {
        hot->ring = PyMem_Calloc((size_t)count, sizeof(Remembered));
        if (hot->ring == NULL) {
            return PyErr_NoMemory();
        }
        hot->ring_size = count;
    }
    set_look_above(hot);
    Py_RETURN_NONE;
}

static PyObject *
hot_remembered(HotPath *hot, PyObject *Py_UNUSED(ignored))
{
    PyObject *list = PyList_New(0);
    /* Making objects can run the cycle collector and with it any code: read from a copy. */
    Py_ssize_t size = hot->ring_size, next = hot->ring_next;
    size_t bytes = (size_t)size * sizeof(Remembered);
    if (list == NULL || size == 0) {
        return list;
    }
    Remembered *ring = PyMem_Malloc(bytes);
    if (ring == NULL) {
        Py_DECREF(list);
        return PyErr_NoMemory();
    }
    memcpy(ring, hot->ring, bytes);
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XINCREF(ring[i].cell);
    }
    for (Py_ssize_t i = 0; i < size && list != NULL; i++) {
        const Remembered *one = &ring[(next + i) % size];
        if (one->cell == NULL) {
            continue;
        }
        PyObject *item = Py_BuildValue("(ONLLk)", one->cell->series, ns_or_none(one->duration_ns),
                                       (long long)one->nbytes, (long long)one->ended_ns,
                                       one->thread);
        if (item == NULL || PyList_Append(list, item) < 0) {
            Py_CLEAR(list);
        }
        Py_XDECREF(item);
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        Py_XDECREF(ring[i].cell);
    }
    PyMem_Free(ring);
    return list;
}

static PyObject *
hot_divert(HotPath *hot, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"operation", "record", "own", "span_type", "modules",
                               "foreign_module", NULL};
    PyObject *operation, *record, *own, *span_type, *modules, *foreign_module;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$OOO!O!O!U:divert", keywords, &operation,
                                     &record, &PyContextVar_Type, &own, &PyType_Type, &span_type,
                                     &PyDict_Type, &modules, &foreign_module)) {
        return NULL;
    }
    Py_XSETREF(hot->own, Py_NewRef(own));
    Py_XSETREF(hot->span_type, Py_NewRef(span_type));
    Py_XSETREF(hot->modules, Py_NewRef(modules));
    Py_XSETREF(hot->foreign_module, Py_NewRef(foreign_module));
    hot->modules_seen = -1;
    Py_XSETREF(hot->divert_record, Py_NewRef(record));
    Py_XSETREF(hot->divert_operation, Py_NewRef(operation));
    Py_RETURN_NONE;
}

static PyObject *
hot_found_foreign(HotPath *hot, PyObject *variable)
{
    if (variable != Py_None && !PyContextVar_CheckExact(variable)) {
        PyErr_SetString(PyExc_TypeError, "a context variable is needed, or None");
        return NULL;
    }
    /* None: that library has none, and is not asked for again. */
    Py_CLEAR(hot->foreign_module);
    Py_XSETREF(hot->foreign, variable == Py_None ? NULL : Py_NewRef(variable));
    Py_RETURN_NONE;
}

static PyObject *
hot_skip(HotPath *hot, PyObject *count)
{
    uint64_t skip = PyLong_AsUnsignedLongLong(count);
    if (skip == (uint64_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    hot->skip = skip;
    Py_RETURN_NONE;
}

static PyObject *
hot_new_cell(HotPath *hot, PyObject *series)
{
    if (!PyTuple_Check(series) || PyTuple_GET_SIZE(series) != 4) {
        PyErr_SetString(PyExc_TypeError, "a series is (kind, name, device, outcome)");
        return NULL;
    }
    PyTypeObject *type = hot->state->cell_type;
    Py_ssize_t size = hot->edge_count + 1;
    size_t bytes = offsetof(Cell, counts) + (size_t)size * sizeof(uint64_t);
    bytes = (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    Cell *cell = aligned_alloc(CACHE_LINE, bytes);
    if (cell == NULL) {
        return PyErr_NoMemory();
    }
    memset(cell, 0, bytes);
    PyObject_Init((PyObject *)cell, type);
    cell->series = Py_NewRef(series);
    cell->open = true;
    cell->min_ns = UINT64_MAX;
    cell->phase = 0 - hot->step; /* so that the first one is timed */
    cell->size = size;
    return (PyObject *)cell;
}

static int
set_edges(HotPath *hot, PyObject *edges)
{
    Py_ssize_t count = PyTuple_GET_SIZE(edges);
    if (count >= MAX_EDGES) {
        PyErr_Format(PyExc_ValueError, "at most %d edges", MAX_EDGES - 1);
        return -1;
    }
    hot->edges = PyMem_Calloc((size_t)count + 1, sizeof(uint64_t));
    if (hot->edges == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        int64_t edge = as_amount(PyTuple_GET_ITEM(edges, i), "an edge");
        if (edge < 0) {
            return -1;
        }
        if (i > 0 && (uint64_t)edge <= hot->edges[i - 1]) {
            PyErr_SetString(PyExc_ValueError, "edges must ascend");
            return -1;
        }
        hot->edges[i] = (uint64_t)edge;
    }
    hot->edges[count] = UINT64_MAX;
    hot->edge_count = count;
    for (unsigned key = 0; key < OCTAVES * STEPS; key++) {
        unsigned exponent = key / STEPS;
        /* The least duration with these leading bits; keys of 8 to 23 belong to none. */
        uint64_t least = key < STEPS ? key
                         : exponent < 3
                             ? 0
                             : (uint64_t)(STEPS + key % STEPS) << (exponent - 3);
        Py_ssize_t index = 0;
        while (hot->edges[index] < least) {
            index++;
        }
        hot->first_edge[key] = (uint16_t)index;
    }
    return 0;
}

static PyObject *
hot_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"cells", "admit", "outcome_of", "on_error", "edges", "enabled",
                               "sample_rate", NULL};
    PyObject *cells, *admit, *outcome_of, *on_error, *edges;
    int enabled;
    double sample_rate;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$O!OOOO!pd:HotPath", keywords, &PyDict_Type,
                                     &cells, &admit, &outcome_of, &on_error, &PyTuple_Type, &edges,
                                     &enabled, &sample_rate)) {
        return NULL;
    }
    if (!(sample_rate >= 0.0 && sample_rate <= 1.0)) {
        PyErr_SetString(PyExc_ValueError, "sample_rate must be from 0 to 1");
        return NULL;
    }
    HotPath *hot = (HotPath *)type->tp_alloc(type, 0);
    if (hot == NULL) {
        return NULL;
    }
    hot->state = PyType_GetModuleState(type);
    hot->cells = Py_NewRef(cells);
    hot->admit = Py_NewRef(admit);
    hot->outcome_of = Py_NewRef(outcome_of);
    hot->on_error = Py_NewRef(on_error);
    hot->look_above_ns = INT64_MAX;
    hot->skip = UINT64_MAX;
    hot->enabled = enabled != 0;
    hot->times_all = sample_rate >= 1.0;
    hot->step = hot->times_all ? 0 : (uint64_t)(sample_rate * 0x1p64);
    if (set_edges(hot, edges) < 0) {
        Py_DECREF(hot);
        return NULL;
    }
    return (PyObject *)hot;
}

static int
hot_traverse(HotPath *hot, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(hot));
    Py_VISIT(hot->cells);
    Py_VISIT(hot->admit);
    Py_VISIT(hot->outcome_of);
    Py_VISIT(hot->on_error);
    Py_VISIT(hot->on_notable);
    Py_VISIT(hot->divert_operation);
    Py_VISIT(hot->divert_record);
    Py_VISIT(hot->own);
    Py_VISIT(hot->foreign);
    Py_VISIT(hot->span_type);
    Py_VISIT(hot->modules);
    for (size_t i = 0; i < CACHE_SIZE; i++) {
        Py_VISIT(hot->cache[i].kind);
    }
    return 0;
}

static int
hot_clear(HotPath *hot)
{
    /* A finalizer of the same garbage may still call a method. */
    hot->enabled = false;
    for (size_t i = 0; i < CACHE_SIZE; i++) {
        Place old = hot->cache[i];
        hot->cache[i] = (Place){NULL, NULL, NULL, NULL};
        Py_XDECREF(old.kind);
        Py_XDECREF(old.name);
        Py_XDECREF(old.device);
        Py_XDECREF(old.cell);
    }
    hot->look_above_ns = INT64_MAX;
    forget_ring(hot);
    Py_CLEAR(hot->on_notable);
    Py_CLEAR(hot->divert_operation);
    Py_CLEAR(hot->divert_record);
    Py_CLEAR(hot->own);
    Py_CLEAR(hot->foreign);
    Py_CLEAR(hot->span_type);
    Py_CLEAR(hot->modules);
    Py_CLEAR(hot->foreign_module);
    Py_CLEAR(hot->cells);
    Py_CLEAR(hot->admit);
    Py_CLEAR(hot->outcome_of);
    Py_CLEAR(hot->on_error);
    return 0;
}

static void
hot_dealloc(HotPath *hot)
{
    PyTypeObject *type = Py_TYPE(hot);
    PyObject_GC_UnTrack(hot);
    hot_clear(hot);
    /* The module's state may be gone by now, at the end of the interpreter. */
    while (hot->free_count > 0) {
        Operation *op = hot->free[--hot->free_count];
        PyTypeObject *operation_type = Py_TYPE(op);
        PyObject_Free(op);
        Py_DECREF(operation_type);
    }
    PyMem_Free(hot->edges);
    type->tp_free(hot);
    Py_DECREF(type);
}

PyDoc_STRVAR(operation_doc,
"operation($self, /, kind, name, *, nbytes=0, device='')\n--\n\n"
"Time one operation: ``with tel.operation(\"execute\", \"matmul\", nbytes=4096): ...``.\n\n"
"Works with ``async with`` too. ``kind`` is one of metalscope.operation.OperationKind; ``nbytes``\n"
"the bytes it moves or allocates; ``device`` which device it runs on, where there are several.\n"
"Nothing is ever raised: bad values are counted as internal errors and logged.");

PyDoc_STRVAR(record_doc,
"record($self, /, kind, name, *, duration_ns, nbytes=0, error=None, device='', gpu_ns=None)\n"
"--\n\n"
"Count an operation timed elsewhere.\n\n"
"``duration_ns`` and ``gpu_ns``, the time the device itself was busy, are nanoseconds. ``error``\n"
"is a metalscope.operation.MetalError, its value, or an exception. Nothing is ever raised: bad\n"
"values are counted as internal errors and logged.");

static PyMethodDef hot_methods[] = {
    {"operation", (PyCFunction)(void (*)(void))hot_operation, METH_FASTCALL | METH_KEYWORDS,
     operation_doc},
    {"record", (PyCFunction)(void (*)(void))hot_record, METH_FASTCALL | METH_KEYWORDS, record_doc},
    {"plain_operation", (PyCFunction)(void (*)(void))hot_plain_operation,
     METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("plain_operation($self, /, kind, name, *, nbytes=0, device='')\n--\n\n"
               "What operation() does where nothing is diverted.")},
    {"plain_record", (PyCFunction)(void (*)(void))hot_plain_record, METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("plain_record($self, /, kind, name, *, duration_ns, nbytes=0, error=None, "
               "device='', gpu_ns=None)\n--\n\n"
               "What record() does where nothing is diverted.")},
    {"watch", (PyCFunction)hot_watch, METH_VARARGS,
     PyDoc_STR("watch($self, above_ns, told, /)\n--\n\n"
               "Tell of operations that failed or took longer; None tells nobody.")},
    {"remember", (PyCFunction)hot_remember, METH_O,
     PyDoc_STR("remember($self, count, /)\n--\n\nKeep so many of the last operations.")},
    {"remembered", (PyCFunction)hot_remembered, METH_NOARGS,
     PyDoc_STR("remembered($self, /)\n--\n\n"
               "Those kept: series, duration_ns, nbytes, ended_ns, thread; oldest first.")},
    {"divert", (PyCFunction)(void (*)(void))hot_divert, METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR("divert($self, /, *, operation, record, own, span_type, modules, foreign_module)\n"
               "--\n\nLet these have what runs in a span, and what begins a trace.")},
    {"found_foreign", (PyCFunction)hot_found_foreign, METH_O,
     PyDoc_STR("found_foreign($self, variable, /)\n--\n\n"
               "Look at this context variable of another library's from now on.")},
    {"skip", (PyCFunction)hot_skip, METH_O,
     PyDoc_STR("skip($self, count, /)\n--\n\n"
               "Divert the next operation outside of any trace after so many.")},
    {"new_cell", (PyCFunction)hot_new_cell, METH_O,
     PyDoc_STR("new_cell($self, series, /)\n--\n\nMake the cell of a series.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hot_slots[] = {
    {Py_tp_doc, "Finds the cells of operations and adds to them."},
    {Py_tp_new, hot_new},
    {Py_tp_dealloc, hot_dealloc},
    {Py_tp_traverse, hot_traverse},
    {Py_tp_clear, hot_clear},
    {Py_tp_methods, hot_methods},
    {0, NULL},
};

static PyType_Spec hot_spec = {
    .name = "metalscope._core.HotPath",
    .basicsize = sizeof(HotPath),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = hot_slots,
};

/* -- what managers inherit -------------------------------------------------------------------- */

static inline HotPath *
hot_of(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    State *state = ((Method *)self)->state;
    if (unlikely(count < 1 || Py_TYPE(args[0]) != state->known)) {
        if (count < 1 || !PyObject_TypeCheck(args[0], state->recording_type)) {
            PyErr_Format(PyExc_TypeError, "%U() needs what records", ((Method *)self)->name);
            return NULL;
        }
        Py_XSETREF(state->known, (PyTypeObject *)Py_NewRef(Py_TYPE(args[0])));
    }
    HotPath *hot = ((Recording *)args[0])->hot;
    if (unlikely(hot == NULL)) {
        PyErr_SetString(PyExc_RuntimeError, "this records nowhere yet");
    }
    return hot;
}

static PyObject *
method_operation(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    HotPath *hot = hot_of(self, args, count);
    return hot == NULL ? NULL : hot_operation(hot, args + 1, count - 1, kwnames);
}

static PyObject *
method_record(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    Py_ssize_t count = PyVectorcall_NARGS(nargsf);
    HotPath *hot = hot_of(self, args, count);
    return hot == NULL ? NULL : hot_record(hot, args + 1, count - 1, kwnames);
}

/* Bound, it is the hot path's own method. */
static PyObject *
method_get(PyObject *self, PyObject *recording, PyObject *Py_UNUSED(type))
{
    if (recording == NULL) {
        return Py_NewRef(self);
    }
    HotPath *hot = hot_of(self, &recording, 1);
    return hot == NULL ? NULL : PyObject_GetAttr((PyObject *)hot, ((Method *)self)->name);
}

static void
method_dealloc(Method *method)
{
    PyTypeObject *type = Py_TYPE(method);
    Py_XDECREF(method->name);
    PyObject_Free(method);
    Py_DECREF(type);
}

/* What the hot path's own method says of itself: text, signature. */
static PyObject *
method_own_attribute(PyObject *self, PyObject *name)
{
    State *state = ((Method *)self)->state;
    PyObject *own = PyObject_GetAttr((PyObject *)state->hot_type, ((Method *)self)->name);
    PyObject *found = own ? PyObject_GetAttr(own, name) : NULL;
    Py_XDECREF(own);
    return found;
}

static PyObject *
method_getattro(PyObject *self, PyObject *name)
{
    PyObject *found = PyObject_GenericGetAttr(self, name);
    if (found != NULL || !PyErr_ExceptionMatches(PyExc_AttributeError)) {
        return found;
    }
    PyErr_Clear();
    return method_own_attribute(self, name);
}

static PyObject *
method_doc(PyObject *self, void *Py_UNUSED(closure))
{
    PyObject *name = PyUnicode_InternFromString("__doc__");
    PyObject *doc = name ? method_own_attribute(self, name) : NULL;
    Py_XDECREF(name);
    return doc;
}

static PyGetSetDef method_getset[] = {
    {"__doc__", method_doc, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef method_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(Method, call), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot method_slots[] = {
    {Py_tp_dealloc, method_dealloc},
    {Py_tp_descr_get, method_get},
    {Py_tp_getattro, method_getattro},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_getset, method_getset},
    {Py_tp_members, method_members},
    {0, NULL},
};

static PyType_Spec method_spec = {
    .name = "metalscope._core.Method",
    .basicsize = sizeof(Method),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = method_slots,
};

static int
add_method(State *state, const char *name, vectorcallfunc call)
{
    Method *method = PyObject_New(Method, state->method_type);
    if (method == NULL) {
        return -1;
    }
    method->call = call;
    method->state = state;
    method->name = PyUnicode_InternFromString(name);
    int status = method->name == NULL ? -1
                                      : PyObject_SetAttr((PyObject *)state->recording_type,
                                                         method->name, (PyObject *)method);
    Py_DECREF(method);
    return status;
}

static PyObject *
recording_use(Recording *self, PyTypeObject *defining, PyObject *const *args, Py_ssize_t count,
              PyObject *kwnames)
{
    State *state = PyType_GetModuleState(defining);
    if (count != 1 || kwnames != NULL || !Py_IS_TYPE(args[0], state->hot_type)) {
        PyErr_SetString(PyExc_TypeError, "_use() takes one HotPath");
        return NULL;
    }
    Py_XSETREF(self->hot, (HotPath *)Py_NewRef(args[0]));
    Py_RETURN_NONE;
}

static int
recording_traverse(Recording *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->hot);
    return 0;
}

static int
recording_clear(Recording *self)
{
    Py_CLEAR(self->hot);
    return 0;
}

static void
recording_dealloc(Recording *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->hot);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef recording_methods[] = {
    {"_use", (PyCFunction)(void (*)(void))recording_use,
     METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     PyDoc_STR("_use($self, hot, /)\n--\n\nRecord by this hot path from now on.")},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot recording_slots[] = {
    {Py_tp_doc, "What has operation() and record() over a hot path."},
    {Py_tp_dealloc, recording_dealloc},
    {Py_tp_traverse, recording_traverse},
    {Py_tp_clear, recording_clear},
    {Py_tp_methods, recording_methods},
    {0, NULL},
};

static PyType_Spec recording_spec = {
    .name = "metalscope._core.Recording",
    .basicsize = sizeof(Recording),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = recording_slots,
};

/* -- the module ------------------------------------------------------------------------------ */

static PyTypeObject *
add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    if (type != NULL && PyModule_AddType(module, (PyTypeObject *)type) < 0) {
        Py_CLEAR(type);
    }
    return (PyTypeObject *)type;
}

static int
module_exec(PyObject *module)
{
    State *state = PyModule_GetState(module);
    if (!(state->cell_type = add_type(module, &cell_spec))
        || !(state->hook_type = add_type(module, &hook_spec))
        || !(state->hot_type = add_type(module, &hot_spec))
        || !(state->operation_type = add_type(module, &op_spec))
        || !(state->ready_type = add_type(module, &ready_spec))
        || !(state->method_type = add_type(module, &method_spec))
        || !(state->recording_type = add_type(module, &recording_spec))
        || !(state->ok = PyUnicode_InternFromString("ok"))
        || !(state->no_device = PyUnicode_InternFromString(""))
        || !(state->room = PyUnicode_InternFromString("recorder"))
        || !(state->kind = PyUnicode_InternFromString("kind"))
        || !(state->name = PyUnicode_InternFromString("name"))
        || !(state->nbytes = PyUnicode_InternFromString("nbytes"))
        || !(state->device = PyUnicode_InternFromString("device"))
        || !(state->duration_ns = PyUnicode_InternFromString("duration_ns"))
        || !(state->error = PyUnicode_InternFromString("error"))
        || !(state->gpu_ns = PyUnicode_InternFromString("gpu_ns"))
        || add_method(state, "operation", method_operation) < 0
        || add_method(state, "record", method_record) < 0
        || add_hook(state, "__enter__") < 0 || add_hook(state, "__exit__") < 0
        || !(state->unrecorded = (PyObject *)op_new(NULL, state))) {
        return -1;
    }
    return PyModule_AddObjectRef(module, "UNRECORDED", state->unrecorded);
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    State *state = PyModule_GetState(module);
    Py_VISIT(state->cell_type);
    Py_VISIT(state->hook_type);
    Py_VISIT(state->hot_type);
    Py_VISIT(state->operation_type);
    Py_VISIT(state->ready_type);
    Py_VISIT(state->method_type);
    Py_VISIT(state->recording_type);
    Py_VISIT(state->known);
    return 0;
}

static int
module_clear(PyObject *module)
{
    State *state = PyModule_GetState(module);
    Py_CLEAR(state->unrecorded);
    Py_CLEAR(state->cell_type);
    Py_CLEAR(state->hook_type);
    Py_CLEAR(state->hot_type);
    Py_CLEAR(state->operation_type);
    Py_CLEAR(state->ready_type);
    Py_CLEAR(state->method_type);
    Py_CLEAR(state->recording_type);
    Py_CLEAR(state->known);
    Py_CLEAR(state->ok);
    Py_CLEAR(state->no_device);
    Py_CLEAR(state->room);
    Py_CLEAR(state->kind);
    Py_CLEAR(state->name);
    Py_CLEAR(state->nbytes);
    Py_CLEAR(state->device);
    Py_CLEAR(state->duration_ns);
    Py_CLEAR(state->error);
    Py_CLEAR(state->gpu_ns);
    return 0;
}

static void
module_free(void *module)
{
    module_clear(module);
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "metalscope._core",
    .m_doc = "The compiled hot path of the recorder.",
    .m_size = sizeof(State),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__core(void)
{
    return PyModuleDef_Init(&module_def);
}
