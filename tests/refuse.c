/* What Lustre, NFS, exFAT, SMB and FUSE answer: locks, hard links and a folder's fsync end with errno TSN_TEST_REFUSE. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static int refused(void) {
    const char *number = getenv("TSN_TEST_REFUSE");
    if (number == NULL)
        return 0;
    errno = atoi(number);
    return 1;
}

int flock(int file, int operation) {
    return refused() ? -1 : ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(file, operation);
}

int link(const char *path, const char *name) {
    return refused() ? -1 : ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "link"))(path, name);
}

int linkat(int folder, const char *path, int where, const char *name, int flags) {
    int (*real)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    return refused() ? -1 : real(folder, path, where, name, flags);
}

int fsync(int file) {
    struct stat status;
    if (fstat(file, &status) == 0 && S_ISDIR(status.st_mode) && refused())
        return -1;
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}
