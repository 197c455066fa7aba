package main

import (
	"runtime"
	"sync"
	"time"
)

// mutex has eight goroutines take a sync.Mutex, and yield under it if it is to be held.
func mutex(held bool) workload {
	return func(ops uint64) ([]float64, error) {
		var lock sync.Mutex
		var count uint64
		var tasks sync.WaitGroup
		start := time.Now()
		for _, share := range shares(ops, 8) {
			tasks.Add(1)
			go func() {
				defer tasks.Done()
				for range share {
					lock.Lock()
					if held {
						runtime.Gosched()
					}
					count++
					lock.Unlock()
				}
			}()
		}
		tasks.Wait()
		elapsed := time.Since(start)
		if err := check("times the lock was taken", count, ops); err != nil {
			return nil, err
		}
		return []float64{each(elapsed, ops)}, nil
	}
}
