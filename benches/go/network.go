package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The servers of ../src/workload/network.rs in Go: what they are for is written there, and the lines that they talk in with the
// load generator in ../src/load.

const (
	networkConnections = 64
	networkMessage     = 64
	networkBuffer      = 1024
)

// A surrounding is where the server listens and who loads it.
type surrounding struct {
	row    string // as the generator knows it
	load   string // the program that is the generator; none, if somebody else starts it
	listen string
}

// A service serves so many connections of a listener and returns, when all have ended, what they have done.
type service func(listener net.Listener, count uint64) (uint64, error)

// network runs the server that the words name, under load.
func network(around surrounding, words []string) (workload, error) {
	var numbers []uint64
	for _, word := range words[1:] {
		number, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	switch words[0] {
	case "echo":
		if len(numbers) != 2 {
			return nil, fmt.Errorf("connections and bytes are missing")
		}
		count, size := numbers[0], numbers[1]
		serve := echo(int(max(size, networkBuffer)))
		return func(ops uint64) ([]float64, error) {
			run, err := around.run(serve, func(uint64) uint64 { return count }, ops, (ops+9)/10)
			if err != nil {
				return nil, err
			}
			if err := check("bytes were echoed", run.counted, run.requests*size); err != nil {
				return nil, err
			}
			if size > networkBuffer {
				bytes := float64(run.done * size)
				return []float64{bytes * 1e3 / run.nanos, run.cpu.Seconds() * 1e12 / bytes}, nil
			}
			return run.rates(), nil
		}, nil
	case "churn":
		return func(ops uint64) ([]float64, error) {
			run, err := around.run(once, func(ops uint64) uint64 { return ops }, ops, (ops+9)/10)
			if err != nil {
				return nil, err
			}
			return run.rates(), check("bytes were answered", run.counted, run.requests*networkMessage)
		}, nil
	case "connections":
		return func(ops uint64) ([]float64, error) {
			run, err := around.run(echo(networkBuffer), func(ops uint64) uint64 { return ops }, ops, networkConnections)
			if err != nil {
				return nil, err
			}
			return []float64{run.grown / float64(run.done)}, check("bytes were echoed", run.counted, run.requests*networkMessage)
		}, nil
	case "http":
		return func(ops uint64) ([]float64, error) {
			run, err := around.run(hello, func(uint64) uint64 { return networkConnections + 2 }, ops, 0)
			if err != nil {
				return nil, err
			}
			// The generator leaves with a request on the way on each connection.
			if run.counted < run.requests || run.counted > run.requests+networkConnections {
				return nil, check("requests were counted", run.counted, run.requests)
			}
			return run.rates(), nil
		}, nil
	}
	return nil, fmt.Errorf("there is no server %v", words)
}

// A run is what came of a load.
type run struct {
	done     uint64        // operations
	nanos    float64       // that they took
	cpu      time.Duration // of the server
	grown    float64       // bytes of the server's resident memory
	requests uint64        // since the beginning, as the generator counts them
	counted  uint64        // what the server has counted
}

// rates are thousands of operations per second, and the CPU seconds of a million.
func (r run) rates() []float64 {
	done := float64(r.done)
	return []float64{done * 1e6 / r.nanos, r.cpu.Seconds() * 1e6 / done}
}

// run serves under load. The operations make so many connections.
func (around surrounding) run(serve service, count func(uint64) uint64, ops, warmUp uint64) (run, error) {
	listener, err := net.Listen("tcp", around.listen)
	if err != nil {
		return run{}, err
	}
	if around.load == "" {
		fmt.Fprintf(os.Stderr, "listening: gambol-benches load %s %s %d\n", around.row, listener.Addr(), ops)
		_, err := serve(listener, count(ops))
		if err == nil {
			os.Exit(0)
		}
		return run{}, err
	}
	type end struct {
		counted uint64
		err     error
	}
	ended := make(chan end, 1)
	go func() {
		counted, err := serve(listener, count(warmUp+ops))
		ended <- end{counted, err}
	}()

	command := exec.Command(around.load, "load", around.row, listener.Addr().String(), fmt.Sprint(ops), "--warm-up", fmt.Sprint(warmUp))
	command.Stderr = os.Stderr
	input, err := command.StdinPipe()
	if err != nil {
		return run{}, err
	}
	output, err := command.StdoutPipe()
	if err != nil {
		return run{}, err
	}
	if err := command.Start(); err != nil {
		return run{}, err
	}
	lines := bufio.NewReader(output)
	if _, err := expect(lines, "ready", 0); err != nil {
		return run{}, err
	}
	before, err := resident()
	if err != nil {
		return run{}, err
	}
	cpuBefore := cpu()
	io.WriteString(input, "go\n")
	numbers, err := expect(lines, "done", 2)
	used := cpu() - cpuBefore
	if err != nil {
		return run{}, err
	}
	after, err := resident()
	if err != nil {
		return run{}, err
	}
	io.WriteString(input, "go\n")
	total, err := expect(lines, "total", 1)
	if err != nil {
		return run{}, err
	}
	if err := command.Wait(); err != nil {
		return run{}, err
	}
	result := <-ended
	return run{
		done:     numbers[1],
		nanos:    float64(numbers[0]),
		cpu:      used,
		grown:    max(float64(after)-float64(before), 0),
		requests: total[0],
		counted:  result.counted,
	}, result.err
}

// expect waits for a line that begins with word and returns the numbers that follow.
func expect(lines *bufio.Reader, word string, count int) ([]uint64, error) {
	line, err := lines.ReadString('\n')
	fields := strings.Fields(line)
	if err != nil || len(fields) != count+1 || fields[0] != word {
		return nil, fmt.Errorf("the generator ended before %q: %v", word, err)
	}
	var numbers []uint64
	for _, field := range fields[1:] {
		number, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// accept has so many connections handled, each by a goroutine, and adds up what they return.
func accept(listener net.Listener, count uint64, handle func(net.Conn) (uint64, error)) (uint64, error) {
	var left, sum atomic.Uint64
	left.Store(count)
	done := make(chan error, 1)
	end := func(err error) {
		select {
		case done <- err:
		default:
		}
	}
	go func() {
		for range count {
			stream, err := listener.Accept()
			if err != nil {
				end(err)
				return
			}
			go func() {
				bytes, err := handle(stream)
				if err != nil {
					end(err)
					return
				}
				sum.Add(bytes)
				if left.Add(^uint64(0)) == 0 {
					end(nil)
				}
			}()
		}
	}()
	err := <-done
	return sum.Load(), err
}

// echo sends back what comes, through a buffer of so many bytes.
func echo(size int) service {
	return func(listener net.Listener, count uint64) (uint64, error) {
		return accept(listener, count, func(stream net.Conn) (uint64, error) {
			defer stream.Close()
			buffer := make([]byte, size)
			var bytes uint64
			for {
				n, err := stream.Read(buffer)
				if err == io.EOF {
					return bytes, nil
				} else if err != nil {
					return bytes, err
				}
				if _, err := stream.Write(buffer[:n]); err != nil {
					return bytes, err
				}
				bytes += uint64(n)
			}
		})
	}
}

// once sends back one message and closes.
func once(listener net.Listener, count uint64) (uint64, error) {
	return accept(listener, count, func(stream net.Conn) (uint64, error) {
		defer stream.Close()
		buffer := make([]byte, networkMessage)
		if _, err := io.ReadFull(stream, buffer); err != nil {
			return 0, err
		}
		_, err := stream.Write(buffer)
		return networkMessage, err
	})
}

// hello answers HTTP requests, by net/http.
func hello(listener net.Listener, count uint64) (uint64, error) {
	var answered, closed atomic.Uint64
	done := make(chan error, 1)
	server := http.Server{
		Handler: http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
			answered.Add(1)
			io.WriteString(response, "Hello, world!")
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed && closed.Add(1) == count {
				done <- nil
			}
		},
	}
	go func() {
		done <- server.Serve(listener)
	}()
	err := <-done
	return answered.Load(), err
}
