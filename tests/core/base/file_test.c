/* Files are opened by name without waiting for FIFOs, and never as stdin, stdout or stderr. */
#include "core/base/file.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A name of a file in the test's folder; the next call overwrites it. */
static const char *in_folder(const char *name)
{
    static char path[108]; /* as long as the address of a socket */
    snprintf(path, sizeof path, "%s/%s", dt_test_temp_dir(), name);
    return path;
}

static void check_refused(const char *path, int flags, const char *kind)
{
    int fd = -1;
    dt_error err = {0};
    alarm(10); /* ends the test where open waits */
    DT_CHECK(dt_file_open(path, flags, 0666, &fd, &err) == DT_ERR_IO);
    DT_CHECK(errno == EINVAL);
    alarm(0);
    DT_CHECK(fd == -1);
    DT_CHECK(strstr(err.message, kind) != NULL);
    DT_CHECK(strstr(err.message, path) != NULL);
}

static void what_is_no_file_is_refused_at_once(void)
{
    const int to_write = O_WRONLY | O_CREAT | O_TRUNC;
    DT_CHECK(mkfifo(in_folder("fifo"), 0666) == 0);
    check_refused(in_folder("fifo"), O_RDONLY, "is a FIFO");
    check_refused(in_folder("fifo"), to_write, "is a FIFO");
    check_refused(in_folder("fifo"), O_RDWR, "is a FIFO");
    DT_CHECK(symlink("fifo", in_folder("link")) == 0);
    check_refused(in_folder("link"), O_RDONLY, "is a FIFO");
    check_refused(dt_test_temp_dir(), O_RDONLY, "is a folder");
    check_refused(dt_test_temp_dir(), O_WRONLY, "is a folder");
    check_refused("/dev/null", O_RDONLY, "is a device");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", in_folder("socket"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    DT_CHECK(bind(fd, (const struct sockaddr *)&address, sizeof address) == 0);
    check_refused(in_folder("socket"), O_RDONLY, "is a socket");
    close(fd);
}

static void a_file_that_is_missing_keeps_its_reason(void)
{
    int fd = -1;
    FILE *stream = NULL;
    dt_error err = {0};
    DT_CHECK(dt_file_open(in_folder("none"), O_RDONLY, 0, &fd, &err) == DT_ERR_IO);
    DT_CHECK(errno == ENOENT);
    DT_CHECK(strstr(err.message, "No such file") != NULL);
    DT_CHECK(dt_file_open_stream(in_folder("none"), &stream, &err) == DT_ERR_IO);
    DT_CHECK(errno == ENOENT && stream == NULL);
}

static void make_data(void)
{
    FILE *f = fopen(in_folder("data"), "w");
    DT_REQUIRE(f && fputs("words\n", f) >= 0);
    fclose(f);
}

static void a_file_is_written_and_read(void)
{
    int fd = -1;
    char text[8] = "";
    FILE *stream = NULL;
    DT_CHECK(dt_file_open(in_folder("data"), O_RDWR | O_CREAT | O_TRUNC, 0640, &fd, NULL) == DT_OK);
    DT_CHECK(write(fd, "words\n", 6) == 6);
    DT_CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    DT_CHECK(dt_file_open_stream(in_folder("data"), &stream, NULL) == DT_OK);
    DT_CHECK(fgets(text, sizeof text, stream) && strcmp(text, "words\n") == 0);
    fclose(stream);
    int at = open(dt_test_temp_dir(), O_RDONLY | O_DIRECTORY);
    DT_CHECK(dt_file_open_at(at, "data", "shown", O_RDONLY | O_NOFOLLOW, 0, &fd, NULL) == DT_OK);
    close(fd);
    dt_error err = {0};
    DT_CHECK(dt_file_open_at(at, "none", "shown", O_RDONLY, 0, &fd, &err) == DT_ERR_IO);
    DT_CHECK(strncmp(err.message, "shown: ", 7) == 0);
    close(at);
}

static void no_file_becomes_a_standard_stream(void)
{
    make_data();
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        int fd = -1;
        const int saved = dup(stream);
        close(stream);
        const dt_status status = dt_file_open(in_folder("data"), O_RDONLY, 0, &fd, NULL);
        const bool restored = saved < 0 || dup2(saved, stream) == stream;
        DT_CHECK_INT(status, DT_OK);
        DT_CHECK_MSG(fd > STDERR_FILENO, "without stream %d the file is %d", stream, fd);
        DT_CHECK(restored);
        close(fd);
        close(saved);
    }
}

static const dt_test tests[] = {
    DT_TEST(what_is_no_file_is_refused_at_once),
    DT_TEST(a_file_that_is_missing_keeps_its_reason),
    DT_TEST(a_file_is_written_and_read),
    DT_TEST(no_file_becomes_a_standard_stream),
};

DT_TEST_MAIN("core/base/file", tests)
