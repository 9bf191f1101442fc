/* Nothing but core/, whole: see tests/program.mk. */
int main(void)
{
    return 0;
}
