// An HTTPS server by Go's net/http, with responses of about 200 bytes in all: what bench/servers.py loads.
//
// server CERTIFICATE KEY prints "port N" and serves until its standard input ends.
package main

import (
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
)

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	body := []byte(strings.Repeat("x", 199) + "\n")
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) })
	go func() { log.Fatal(http.ServeTLS(listener, handler, os.Args[1], os.Args[2])) }()
	_, _ = io.Copy(ioutil.Discard, os.Stdin)
}
