package main

import (
	"sync"
	"time"
)

// message sends through one channel, closed when the senders have ended.
func message(senders, receivers, capacity int) workload {
	return func(ops uint64) ([]float64, error) {
		type result struct{ received, sum uint64 }
		channel := make(chan uint64, capacity)
		results := make(chan result, receivers)
		start := time.Now()
		for range receivers {
			go func() {
				var result result
				for message := range channel {
					result.received++
					result.sum += message
				}
				results <- result
			}()
		}
		var sending sync.WaitGroup
		first := uint64(0)
		for _, share := range shares(ops, senders) {
			sending.Add(1)
			go func(first uint64) {
				defer sending.Done()
				for message := first; message < first+share; message++ {
					channel <- message
				}
			}(first)
			first += share
		}
		sending.Wait()
		close(channel)
		var total result
		for range receivers {
			result := <-results
			total.received += result.received
			total.sum += result.sum
		}
		elapsed := time.Since(start)
		if err := check("messages were received", total.received, ops); err != nil {
			return nil, err
		}
		if err := check("is the sum of the messages", total.sum, ops*(ops-1)/2); err != nil {
			return nil, err
		}
		return []float64{each(elapsed, ops)}, nil
	}
}
