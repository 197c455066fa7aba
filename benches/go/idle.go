package main

import (
	"fmt"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// RUSAGE_THREAD of Linux, which the package syscall does not name.
const rusageThread = 1

// idle parks a thousand goroutines and one that listens, and looks at what the program does in so many milliseconds.
//
// The goroutine that waits for the end has a thread of its own, which sleeps in the kernel, so that no timer of Go's runs.
func idle(ops uint64) ([]float64, error) {
	runtime.LockOSThread()
	const tasks = 1000
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	var begun, ended atomic.Uint64
	never := make(chan struct{})
	for i := range tasks {
		go func() {
			begun.Add(1)
			if i%2 == 0 {
				time.Sleep(time.Hour)
			} else {
				<-never
			}
			ended.Add(1)
		}()
	}
	go func() {
		begun.Add(1)
		listener.Accept()
		ended.Add(1)
	}()
	for begun.Load() < tasks+1 {
		time.Sleep(10 * time.Millisecond)
	}
	if err := pause(200 * time.Millisecond); err != nil {
		return nil, err
	}
	cpu, switches := others()
	if err := pause(time.Duration(ops) * time.Millisecond); err != nil {
		return nil, err
	}
	cpuAfter, switchesAfter := others()
	if count := ended.Load(); count > 0 {
		return nil, fmt.Errorf("%d parked goroutines ended", count)
	}
	return []float64{micros(cpuAfter - cpu), float64(switchesAfter - switches)}, nil
}

// others is what the other threads of this process have used.
func others() (time.Duration, uint64) {
	cpu, switches := usage(syscall.RUSAGE_SELF)
	ownCPU, ownSwitches := usage(rusageThread)
	return cpu - ownCPU, switches - ownSwitches
}

// pause sleeps with the goroutine's thread, for as long as was asked for whatever signals come.
func pause(duration time.Duration) error {
	left := syscall.NsecToTimespec(duration.Nanoseconds())
	for {
		switch err := syscall.Nanosleep(&left, &left); err {
		case nil:
			return nil
		case syscall.EINTR:
		default:
			return err
		}
	}
}
