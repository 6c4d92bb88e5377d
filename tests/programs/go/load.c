/* Loads the shared library and runs it with the rest of the arguments. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	char arguments[4096] = "";
	void (*run)(const char *);
	void *library = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;

	if (!library) {
		fprintf(stderr, "%s\n", argc > 2 ? dlerror() : "usage: load LIBRARY ARGUMENT...");
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		if (i > 2)
			strncat(arguments, "\n", sizeof(arguments) - strlen(arguments) - 1);
		strncat(arguments, argv[i], sizeof(arguments) - strlen(arguments) - 1);
	}
	*(void **)&run = dlsym(library, "peer_run");
	if (!run) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	run(arguments);
	return 0;
}
