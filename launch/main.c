#include "config.h"

#include <stdio.h>

int main(void)
{
    printf("dtrain %s\n", PACKAGE_VERSION);
    return 0;
}
