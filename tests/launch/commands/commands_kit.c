#include "tests/launch/commands/commands_kit.h"

#include "io/durable.h"
#include "io/source/jpeg_write.h"
#include "launch/show/console.h"
#include "tests/testing.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_WORDS = 32 };

static _Noreturn void run(dt_command *command, int argc, char **argv, const char *out, const char *err_path)
{
    dt_session session = {0};
    dt_error err = {0};
    if (!freopen(out, "w", stdout) || !freopen(err_path, "w", stderr))
        _exit(98);
    setenv("LC_ALL", "C", 1); /* ASCII tables */
    dt_console_open();
    const dt_status status = command(argc, argv, &session, &err);
    if (status != DT_OK)
        dt_console_fail(&err);
    dt_session_close(&session);
    fflush(NULL);
    _exit(dt_status_exit_code(status));
}

commands_kit_result commands_kit_run(dt_command *command, const char *name, ...)
{
    char *argv[MAX_WORDS + 1] = {(char *)(uintptr_t)name};
    int argc = 1, status = 0;
    const char *out = dt_test_path("%s/stdout", dt_test_temp_dir()),
               *err = dt_test_path("%s/stderr", dt_test_temp_dir());
    va_list args;
    va_start(args, name);
    while (argc < MAX_WORDS && (argv[argc] = va_arg(args, char *)) != NULL)
        argc++;
    va_end(args);
    DT_REQUIRE(argc < MAX_WORDS);
    fflush(NULL);
    const pid_t child = fork();
    DT_REQUIRE(child >= 0);
    if (child == 0)
        run(command, argc, argv, out, err);
    DT_REQUIRE(waitpid(child, &status, 0) == child);
    return (commands_kit_result){.code = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status),
                                 .out = dt_test_read_file(out, NULL),
                                 .err = dt_test_read_file(err, NULL)};
}

void commands_kit_clear(commands_kit_result *r)
{
    free(r->out);
    free(r->err);
    *r = (commands_kit_result){0};
}

void commands_kit_images(const char *root, const char *split, const char *class_name, int n, int size)
{
    dt_error err = {0};
    uint8_t *pixels = malloc((size_t)size * (size_t)size);
    const char *folder = dt_test_path("%s/%s/%s", root, split, class_name);
    DT_REQUIRE(pixels != NULL);
    DT_REQUIRE_MSG(dt_durable_make_folder(folder, &err) == DT_OK, "%s", err.message);
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < size * size; k++)
            pixels[k] = (uint8_t)(k * (i + 3));
        DT_REQUIRE_MSG(
            dt_jpeg_write_grey(dt_test_path("%s/%d.jpg", folder, i), pixels, size, size, 90, &err) == DT_OK,
            "%s", err.message);
    }
    free(pixels);
}
