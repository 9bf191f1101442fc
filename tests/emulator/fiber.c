#include "tests/emulator/fiber.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#    define FIBER_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define FIBER_ASAN 1
#    endif
#endif
#ifdef FIBER_ASAN
#    include <sanitizer/asan_interface.h>
#    include <sanitizer/common_interface_defs.h>
#    define STACK_BYTES ((size_t)512 << 10) /* redzones around every local array */
#else
#    define STACK_BYTES ((size_t)128 << 10)
#endif

#if !defined(__x86_64__)
#    include <ucontext.h>
#endif

struct dt_fiber {
    void (*entry)(void *arg);
    void *arg;
    char *stack; /* lowest usable byte; a page that cannot be touched lies below it */
    size_t stack_bytes;
    void *asan_stack; /* AddressSanitizer's handle, while the fiber does not run */
#if defined(__x86_64__)
    void *stack_pointer; /* while it does not run */
#else
    ucontext_t context;
#endif
};

static dt_fiber program;           /* the stack that dt_fiber_switch(NULL, ...) leaves */
static dt_fiber *previous, *begun; /* of the last switch: from, to */

static void after_switch(void *asan_stack)
{
#ifdef FIBER_ASAN
    const void *bottom = NULL;
    size_t bytes = 0;
    __sanitizer_finish_switch_fiber(asan_stack, &bottom, &bytes);
    if (previous == &program) { /* its bounds are known only here */
        program.stack = (char *)(size_t)bottom;
        program.stack_bytes = bytes;
    }
#else
    (void)asan_stack;
#endif
}

static void begin(void)
{
    after_switch(NULL);
    begun->entry(begun->arg);
    abort(); /* entry never returns */
}

#if defined(__x86_64__)

/* void dt_fiber_exchange(void **save, void *load): push the registers that a callee must preserve, store the
 * stack pointer in *save, and continue on the stack `load`. */
void dt_fiber_exchange(void **save, void *load);
__asm__(".text\n"
        ".p2align 4\n"
        ".globl dt_fiber_exchange\n"
        ".hidden dt_fiber_exchange\n"
        ".type dt_fiber_exchange, @function\n"
        "dt_fiber_exchange:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size dt_fiber_exchange, . - dt_fiber_exchange\n");

void dt_fiber_restart(dt_fiber *fiber)
{
    /* From the top: what begin would return to (nothing), begin, six registers. begin finds the stack as
     * after a call. */
    void **slot = (void **)(void *)(fiber->stack + fiber->stack_bytes - 16);
#    ifdef FIBER_ASAN
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_bytes);
#    endif
    *--slot = NULL; /* now 8 below a multiple of 16, as a function finds it */
    *--slot = (void *)(size_t)begin;
    for (int i = 0; i < 6; i++)
        *--slot = NULL;
    fiber->stack_pointer = slot;
}

static void exchange(dt_fiber *from, dt_fiber *to)
{
    dt_fiber_exchange(&from->stack_pointer, to->stack_pointer);
}

#else

void dt_fiber_restart(dt_fiber *fiber)
{
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = fiber->stack_bytes;
    fiber->context.uc_link = NULL;
    makecontext(&fiber->context, begin, 0);
#    ifdef FIBER_ASAN
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_bytes);
#    endif
}

static void exchange(dt_fiber *from, dt_fiber *to)
{
    swapcontext(&from->context, &to->context);
}

#endif

dt_fiber *dt_fiber_create(void (*entry)(void *arg), void *arg)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    dt_fiber *fiber = calloc(1, sizeof *fiber);
    if (fiber == NULL)
        return NULL;
    char *memory = mmap(NULL, guard + STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0) {
        if (memory != MAP_FAILED)
            munmap(memory, guard + STACK_BYTES);
        free(fiber);
        return NULL;
    }
    fiber->entry = entry;
    fiber->arg = arg;
    fiber->stack = memory + guard;
    fiber->stack_bytes = STACK_BYTES;
    dt_fiber_restart(fiber);
    return fiber;
}

void dt_fiber_destroy(dt_fiber *fiber)
{
    const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    if (fiber == NULL)
        return;
#ifdef FIBER_ASAN
    __asan_unpoison_memory_region(fiber->stack, fiber->stack_bytes);
#endif
    munmap(fiber->stack - guard, guard + fiber->stack_bytes);
    free(fiber);
}

void dt_fiber_switch(dt_fiber *from, dt_fiber *to)
{
    from = from != NULL ? from : &program;
    to = to != NULL ? to : &program;
    previous = from;
    begun = to;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&from->asan_stack, to->stack, to->stack_bytes);
#endif
    exchange(from, to);
    after_switch(from->asan_stack);
}
