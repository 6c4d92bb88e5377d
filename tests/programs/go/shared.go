// The same as a shared library, for a program that is not Go's.
package main

import "C"
import "strings"

//export peer_run
func peer_run(arguments *C.char) {
	run(strings.Split(C.GoString(arguments), "\n"))
}
