// A TLS client and server on a fork of crypto/tls, that say themselves what they sent and received.
//
// The commands are those of programs/go, of which it has the part that needs no net/http. The client
// greets as a browser does, which is what this fork is for.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand"
	"net"
	"os"
	"strings"
	"sync"

	tls "github.com/refraction-networking/utls"
)

type options struct {
	certificate, key string
	workers, calls   int
	sizes            string
	seed             int64
	version          uint
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	var o options
	flags := flag.NewFlagSet("peer", flag.ExitOnError)
	flags.StringVar(&o.certificate, "certificate", "", "PEM")
	flags.StringVar(&o.key, "key", "", "PEM")
	flags.IntVar(&o.workers, "workers", 1, "goroutines at once")
	flags.IntVar(&o.calls, "calls", 1, "messages of each")
	flags.StringVar(&o.sizes, "sizes", "200", "their lengths, in turn")
	flags.Int64Var(&o.seed, "seed", 1, "of what is sent")
	flags.UintVar(&o.version, "version", 13, "the highest version of TLS: 12 or 13")
	check(flags.Parse(os.Args[2:]))
	switch os.Args[1] {
	case "server":
		serve(&o)
	case "client":
		client(&o, flags.Arg(0))
	}
}

func config(o *options) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"}
	config.MaxVersion = map[uint]uint16{12: tls.VersionTLS12, 13: tls.VersionTLS13}[o.version]
	if path := os.Getenv("PEER_KEYLOG"); path != "" {
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0600)
		check(err)
		config.KeyLogWriter = file
	}
	return config
}

// answer is what the server sends for a message.
func answer(message []byte) []byte {
	response := make([]byte, len(message))
	for i, c := range message {
		response[len(message)-1-i] = c ^ 0x20
	}
	return response
}

func serve(o *options) {
	config := config(o)
	pair, err := tls.LoadX509KeyPair(o.certificate, o.key)
	check(err)
	config.Certificates = []tls.Certificate{pair}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Printf("port %d\n", listener.Addr().(*net.TCPAddr).Port)
	go func() {
		for {
			plain, err := listener.Accept()
			check(err)
			go talk(tls.Server(plain, config))
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func talk(conn *tls.Conn) {
	defer conn.Close()
	for {
		var length [8]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		message := make([]byte, binary.BigEndian.Uint64(length[:]))
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		if _, err := conn.Write(answer(message)); err != nil {
			return
		}
	}
}

func client(o *options, address string) {
	config := config(o)
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	var workers sync.WaitGroup
	var output sync.Mutex
	for worker := 0; worker < o.workers; worker++ {
		random := rand.New(rand.NewSource(o.seed + int64(worker)))
		workers.Add(1)
		go func() {
			defer workers.Done()
			sent, received := exchange(o, address, config, random)
			output.Lock()
			defer output.Unlock()
			fmt.Printf("sent %d bytes %x\n", len(sent), sha256.Sum256(sent))
			fmt.Printf("received %d bytes %x\n", len(received), sha256.Sum256(received))
		}()
	}
	workers.Wait()
}

// exchange gives all that went over one connection, and came back.
func exchange(o *options, address string, config *tls.Config, random *rand.Rand) (sent, received []byte) {
	plain, err := net.Dial("tcp", address)
	check(err)
	hello := tls.HelloChrome_Auto
	if o.version == 12 {
		hello = tls.HelloGolang
	}
	// It changes its configuration.
	conn := tls.UClient(plain, config.Clone(), hello)
	check(conn.Handshake())
	sizes := strings.Split(o.sizes, ",")
	for call := 0; call < o.calls; call++ {
		var size int
		_, err := fmt.Sscan(sizes[call%len(sizes)], &size)
		check(err)
		message := make([]byte, size)
		_, _ = random.Read(message)
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(size))
		for _, part := range [][]byte{length[:], message} {
			_, err := conn.Write(part)
			check(err)
			sent = append(sent, part...)
		}
		got := make([]byte, size)
		_, err = io.ReadFull(conn, got)
		check(err)
		if !bytes.Equal(got, answer(message)) {
			log.Fatal("the server answered something else")
		}
		received = append(received, got...)
	}
	check(conn.Close())
	return sent, received
}
