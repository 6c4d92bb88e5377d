// A TLS client and server in Go that say themselves what they sent and received.
//
// It must build with every Go from 1.15 on. `peer server` prints "port N" and serves until its standard
// input ends; `peer client` prints "ready", waits for a line, and prints one line for each transfer:
// direction, length and SHA-256.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
)

type options struct {
	certificate, key string
	http2, raw, wrap bool
	early            bool
	file             string
	workers, calls   int
	pieces           int
	sizes            string
	seed             int64
	quiet            bool
	version          uint
}

var output sync.Mutex

func say(quiet bool, direction string, data []byte) {
	if !quiet {
		output.Lock()
		defer output.Unlock()
		fmt.Printf("%s %d bytes %x\n", direction, len(data), sha256.Sum256(data))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// run is the whole program; the shared library calls it with the arguments of its caller.
func run(arguments []string) {
	var o options
	flags := flag.NewFlagSet("peer", flag.ExitOnError)
	flags.StringVar(&o.certificate, "certificate", "", "PEM")
	flags.StringVar(&o.key, "key", "", "PEM")
	flags.BoolVar(&o.http2, "http2", false, "HTTP/2 instead of HTTP/1.1")
	flags.BoolVar(&o.raw, "raw", false, "no HTTP: length and bytes, on buffers on the stack")
	flags.BoolVar(&o.wrap, "wrap", false, "TLS over a connection of another type")
	flags.BoolVar(&o.early, "early", false, "with -raw, connect before saying ready")
	flags.StringVar(&o.file, "file", "", "send what is in this file, mapped and not read")
	flags.IntVar(&o.pieces, "pieces", 0, "send that in pieces of this length")
	flags.IntVar(&o.workers, "workers", 1, "goroutines at once")
	flags.IntVar(&o.calls, "calls", 1, "requests of each")
	flags.StringVar(&o.sizes, "sizes", "200", "lengths of bodies, in turn")
	flags.Int64Var(&o.seed, "seed", 1, "of what is sent")
	flags.BoolVar(&o.quiet, "quiet", false, "say nothing of transfers")
	flags.UintVar(&o.version, "version", 13, "the highest version of TLS: 12 or 13")
	check(flags.Parse(arguments[1:]))
	switch arguments[0] {
	case "server":
		serve(&o)
	case "client":
		client(&o, flags.Arg(0))
	}
}

func main() {
	run(os.Args[1:])
}

func config(o *options) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true}
	config.MaxVersion = map[uint]uint16{12: tls.VersionTLS12, 13: tls.VersionTLS13}[o.version]
	if path := os.Getenv("PEER_KEYLOG"); path != "" {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0600)
		check(err)
		config.KeyLogWriter = file
	}
	return config
}

// answer is what the server sends for a request.
func answer(request []byte) []byte {
	response := make([]byte, len(request))
	for i, c := range request {
		response[len(request)-1-i] = c ^ 0x20
	}
	return response
}

func serve(o *options) {
	tlsConfig := config(o)
	pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
	check(err)
	tlsConfig.Certificates = []tls.Certificate{pair}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("port %d\n", plain.Addr().(*net.TCPAddr).Port)
	if o.raw {
		go serveRaw(plain, tlsConfig)
	} else {
		server := &http.Server{TLSConfig: tlsConfig, Handler: http.HandlerFunc(handle)}
		if !o.http2 {
			server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
		}
		go func() { check(server.ServeTLS(plain, "", "")) }()
	}
	_, _ = io.Copy(ioutil.Discard, os.Stdin)
}

func handle(w http.ResponseWriter, r *http.Request) {
	body, err := ioutil.ReadAll(r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(answer(body))
}

func client(o *options, address string) {
	tlsConfig := config(o)
	var early *tls.Conn
	if o.early {
		early = connect(o, address, tlsConfig)
		// The server has answered once, so it reads again by now, or will at once.
		exchange(early, []byte("early"))
	}
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	transport := &http.Transport{
		TLSClientConfig:     tlsConfig,
		ForceAttemptHTTP2:   o.http2,
		MaxIdleConnsPerHost: o.workers,
	}
	if !o.http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	var workers sync.WaitGroup
	for worker := 0; worker < o.workers; worker++ {
		bodies := bodies(o, int64(worker))
		workers.Add(1)
		go func() {
			defer workers.Done()
			if o.raw {
				conn := early
				if conn == nil {
					conn = connect(o, address, tlsConfig)
				}
				callRaw(o, conn, bodies)
			} else {
				call(o, address, &http.Client{Transport: transport}, bodies)
			}
		}()
	}
	workers.Wait()
	transport.CloseIdleConnections()
}

// bodies gives one request's body after the other, and at last nil.
func bodies(o *options, worker int64) func() []byte {
	if o.file != "" {
		return mapped(o)
	}
	random := rand.New(rand.NewSource(o.seed + worker))
	sizes := strings.Split(o.sizes, ",")
	call := 0
	return func() []byte {
		if call == o.calls {
			return nil
		}
		var size int
		_, err := fmt.Sscan(sizes[call%len(sizes)], &size)
		check(err)
		call++
		body := make([]byte, size)
		_, _ = random.Read(body)
		return body
	}
}

// mapped gives the contents of a file, whose pages nobody has touched.
func mapped(o *options) func() []byte {
	file, err := os.Open(o.file)
	check(err)
	info, err := file.Stat()
	check(err)
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	check(err)
	if o.pieces == 0 {
		o.pieces = len(data)
	}
	return func() []byte {
		if len(data) == 0 {
			return nil
		}
		n := o.pieces
		if n > len(data) {
			n = len(data)
		}
		body := data[:n]
		data = data[n:]
		return body
	}
}

func call(o *options, address string, client *http.Client, bodies func() []byte) {
	for body := bodies(); body != nil; body = bodies() {
		response, err := client.Post("https://"+address+"/", "application/octet-stream", bytes.NewReader(body))
		check(err)
		got, err := ioutil.ReadAll(response.Body)
		check(err)
		check(response.Body.Close())
		if !bytes.Equal(got, answer(body)) {
			log.Fatal("the server answered something else")
		}
		say(o.quiet, "sent", body)
		say(o.quiet, "received", got)
	}
}

// layer is a net.Conn of another type.
type layer struct {
	net.Conn
	name string
}

func connect(o *options, address string, config *tls.Config) *tls.Conn {
	plain, err := net.Dial("tcp", address)
	check(err)
	if o.wrap {
		plain = &layer{plain, "layer"}
	}
	conn := tls.Client(plain, config)
	check(conn.Handshake())
	return conn
}

// callRaw sends each body on one connection, and the server's answers come back on it.
func callRaw(o *options, conn *tls.Conn, bodies func() []byte) {
	var sent, received []byte
	for body := bodies(); body != nil; body = bodies() {
		length, got := exchange(conn, body)
		sent = append(append(sent, length...), body...)
		received = append(received, got...)
	}
	check(conn.Close())
	say(o.quiet, "sent", sent)
	say(o.quiet, "received", received)
}

// exchange sends a length and a body, and reads the answer.
func exchange(conn *tls.Conn, body []byte) ([]byte, []byte) {
	// On the stack.
	var length [8]byte
	binary.BigEndian.PutUint64(length[:], uint64(len(body)))
	_, err := conn.Write(length[:])
	check(err)
	_, err = conn.Write(body)
	check(err)
	got := make(chan []byte)
	// The stack of a new goroutine is small: it grows in Read, and moves.
	go func() { got <- readAll(conn, len(body)) }()
	back := <-got
	if !bytes.Equal(back, answer(body)) {
		log.Fatal("the server answered something else")
	}
	return append([]byte{}, length[:]...), back
}

// readAll reads into a buffer on the stack: of *tls.Conn.Read the compiler knows that it keeps no
// pointer to it.
func readAll(conn *tls.Conn, length int) []byte {
	var all []byte
	var buffer [1000]byte
	for len(all) < length {
		n, err := conn.Read(buffer[:])
		all = append(all, buffer[:n]...)
		if err == io.EOF {
			break
		}
		check(err)
	}
	return all
}

func serveRaw(listener net.Listener, config *tls.Config) {
	for {
		plain, err := listener.Accept()
		check(err)
		go func() {
			conn := tls.Server(plain, config)
			defer conn.Close()
			for {
				var length [8]byte
				if _, err := io.ReadFull(conn, length[:]); err != nil {
					return
				}
				body := make([]byte, binary.BigEndian.Uint64(length[:]))
				if _, err := io.ReadFull(conn, body); err != nil {
					return
				}
				if _, err := conn.Write(answer(body)); err != nil {
					return
				}
			}
		}()
	}
}
