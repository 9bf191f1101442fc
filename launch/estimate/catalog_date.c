#include "launch/estimate/catalog_date.h"

#include <string.h>

/* Reads n digits; -1: there are other characters. */
static int digits(const char *text, int n)
{
    int value = 0;
    for (int i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -1;
        value = 10 * value + (text[i] - '0');
    }
    return value;
}

static int days_of_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && is_leap);
}

static bool is_year_and_month(const char *text)
{
    const int month = text[4] == '-' ? digits(text + 5, 2) : -1;
    return digits(text, 4) >= 1970 && month >= 1 && month <= 12;
}

bool dt_catalog_is_date(const char *text)
{
    int day;
    if (strlen(text) == 4)
        return digits(text, 4) >= 1970;
    return strlen(text) == 7 ? is_year_and_month(text) : dt_catalog_day(text, &day);
}

bool dt_catalog_day(const char *text, int *day)
{
    if (strlen(text) != 10 || text[7] != '-' || !is_year_and_month(text))
        return false;
    const int year = digits(text, 4), month = digits(text + 5, 2), of_month = digits(text + 8, 2);
    if (of_month < 1 || of_month > days_of_month(year, month))
        return false;
    int days = of_month - 1;
    for (int y = 1970; y < year; y++)
        days += 337 + days_of_month(y, 2);
    for (int m = 1; m < month; m++)
        days += days_of_month(year, m);
    *day = days;
    return true;
}
