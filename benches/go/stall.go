package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// The workloads of ../src/workload/stall in Go: what they are for is written there. All but threads run once, whatever number is
// ordered.

const (
	stallWarmUp = 500 * time.Millisecond
	stallLead   = 100 * time.Millisecond
	stallLong   = time.Second
)

func stall(name string) workload {
	switch name {
	case "echo":
		return func(uint64) ([]float64, error) { return stallEcho() }
	case "threads":
		return stallThreads
	}
	return func(uint64) ([]float64, error) { return heartbeat(name) }
}

// block keeps the goroutine's thread, as a call into C would; time.Sleep would not.
func block(long time.Duration) {
	for end := time.Now().Add(long); ; {
		left := time.Until(end)
		if left <= 0 {
			return
		}
		time := syscall.NsecToTimespec(left.Nanoseconds())
		syscall.Nanosleep(&time, nil)
	}
}

func spin(long time.Duration) {
	for begin := time.Now(); time.Since(begin) < long; {
	}
}

// heartbeat measures the longest gap between two beats beside some trouble, and how long the trouble took.
func heartbeat(name string) ([]float64, error) {
	var stop atomic.Bool
	beaten := make(chan []time.Time)
	go func() {
		beats := make([]time.Time, 0, 4096)
		for !stop.Load() {
			beats = append(beats, time.Now())
			time.Sleep(5 * time.Millisecond)
		}
		beaten <- append(beats, time.Now())
	}()
	time.Sleep(stallWarmUp)
	start := time.Now()
	ends, err := trouble(name)
	if err != nil {
		return nil, err
	}
	stop.Store(true)
	beats := <-beaten
	if name == "timer" {
		start = start.Add(stallLead)
	}
	end := slices.MaxFunc(ends, time.Time.Compare)
	if slices.MinFunc(ends, time.Time.Compare).Before(start.Add(stallLong)) {
		return nil, fmt.Errorf("a goroutine ended before its time")
	}
	var gap time.Duration
	for i := 1; i < len(beats); i++ {
		if beats[i].After(start) && beats[i-1].Before(end) {
			gap = max(gap, beats[i].Sub(beats[i-1]))
		}
	}
	return []float64{millis(gap), millis(end.Sub(start))}, nil
}

// trouble returns when each of its goroutines ended.
func trouble(name string) ([]time.Time, error) {
	switch name {
	case "sleep":
		return all(8, func() { block(stallLong) }), nil
	case "timer":
		return all(8, func() {
			time.Sleep(stallLead)
			block(stallLong)
		}), nil
	case "spin":
		return all(4, func() { spin(stallLong) }), nil
	case "main":
		block(stallLong)
		return []time.Time{time.Now()}, nil
	case "pipe":
		// Not os.Pipe: what that reads from does not block its thread.
		var ends [2]int
		if err := syscall.Pipe(ends[:]); err != nil {
			return nil, err
		}
		go func() {
			time.Sleep(stallLong)
			syscall.Write(ends[1], make([]byte, 8))
		}()
		var read atomic.Uint64
		times := all(8, func() {
			for {
				switch n, err := syscall.Read(ends[0], make([]byte, 1)); {
				case err == syscall.EINTR:
					continue
				case n == 1:
					read.Add(1)
				}
				return
			}
		})
		return times, check("bytes were read", read.Load(), 8)
	case "mutex":
		// Go's own, which parks the goroutine and not the thread.
		var mutex sync.Mutex
		held := make(chan struct{})
		go func() {
			mutex.Lock()
			close(held)
			block(stallLong)
			mutex.Unlock()
		}()
		<-held
		var locked uint64
		times := all(8, func() {
			mutex.Lock()
			locked++
			mutex.Unlock()
		})
		return times, check("times the mutex was locked", locked, 8)
	}
	return nil, fmt.Errorf("there is no trouble %q", name)
}

// all runs so many goroutines and returns when each of them ended.
func all(count int, run func()) []time.Time {
	ends := make([]time.Time, count)
	var tasks sync.WaitGroup
	tasks.Add(count)
	for i := range count {
		go func() {
			run()
			ends[i] = time.Now()
			tasks.Done()
		}()
	}
	tasks.Wait()
	return ends
}

// stallEcho serves 64 connections; a request whose number has its highest bit set blocks. It counts both.
func stallEcho() ([]float64, error) {
	const connections, message = 64, 64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	fmt.Println("listening", listener.Addr())
	var requests, blocked atomic.Uint64
	failed := make(chan error, connections)
	for range connections {
		stream, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		go func() {
			request := make([]byte, message)
			for {
				if _, err := io.ReadFull(stream, request); err == io.EOF {
					failed <- nil
					return
				} else if err != nil {
					failed <- err
					return
				}
				requests.Add(1)
				if request[7]&0x80 != 0 {
					blocked.Add(1)
					block(200 * time.Millisecond)
				}
				if _, err := stream.Write(request); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	for range connections {
		if err := <-failed; err != nil {
			return nil, err
		}
	}
	return []float64{float64(requests.Load()), float64(blocked.Load())}, nil
}

// stallThreads counts the threads while a hundred goroutines in each round keep theirs for 50 ms, and ten seconds later. All of the
// process's threads are the runtime's; the sampler is a goroutine.
func stallThreads(rounds uint64) ([]float64, error) {
	const long = 50 * time.Millisecond
	var stop atomic.Bool
	sampled := make(chan []int)
	go func() {
		var samples []int
		for !stop.Load() {
			samples = append(samples, threads())
			time.Sleep(5 * time.Millisecond)
		}
		sampled <- samples
	}()
	time.Sleep(stallWarmUp)
	var stuck, most, ended atomic.Int64
	start := time.Now()
	for range rounds {
		for _, size := range []int{20, 1, 7, 40, 2, 30} {
			var tasks sync.WaitGroup
			tasks.Add(size)
			for i := range size {
				go func() {
					defer tasks.Done()
					if i%3 == 2 {
						time.Sleep(5 * time.Millisecond)
					}
					now := stuck.Add(1)
					for seen := most.Load(); seen < now && !most.CompareAndSwap(seen, now); seen = most.Load() {
					}
					if i%3 == 1 {
						spin(long)
					} else {
						block(long)
					}
					stuck.Add(-1)
					ended.Add(1)
				}()
			}
			tasks.Wait()
		}
	}
	took := time.Since(start)
	stop.Store(true)
	samples := <-sampled
	var course []string
	for at := 0; at < len(samples); at += 50 {
		course = append(course, strconv.Itoa(slices.Max(samples[at:min(at+50, len(samples))])))
	}
	fmt.Fprintln(os.Stderr, "threads, the most in each quarter of a second:", strings.Join(course, " "))
	time.Sleep(10 * time.Second)
	later := threads()
	greatest := slices.Max(samples)
	figures := []float64{
		float64(greatest), float64(most.Load()), float64(greatest) - float64(most.Load()), float64(later), millis(took),
	}
	return figures, check("goroutines ended", uint64(ended.Load()), 100*rounds)
}

// threads is how many threads this process has.
func threads() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		fail(err)
	}
	for _, line := range strings.Split(string(status), "\n") {
		if count, found := strings.CutPrefix(line, "Threads:"); found {
			number, err := strconv.Atoi(strings.TrimSpace(count))
			if err != nil {
				fail(err)
			}
			return number
		}
	}
	fail(fmt.Errorf("/proc/self/status tells no threads"))
	return 0
}

func millis(duration time.Duration) float64 {
	return float64(duration.Nanoseconds()) / 1e6
}
