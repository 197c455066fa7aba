package main

import "time"

// pingpong sends a token there and back over two channels.
func pingpong(capacity int) workload {
	return func(ops uint64) ([]float64, error) {
		questions := make(chan uint64, capacity)
		answers := make(chan uint64, capacity)
		answered := make(chan uint64)
		go func() {
			var count uint64
			for token := range questions {
				answers <- token + 1
				count++
			}
			answered <- count
		}()
		start := time.Now()
		token := uint64(1)
		for range ops {
			questions <- token
			token = <-answers + 1
		}
		elapsed := time.Since(start)
		close(questions)
		if err := check("questions were answered", <-answered, ops); err != nil {
			return nil, err
		}
		if err := check("hands touched the token", token, 2*ops+1); err != nil {
			return nil, err
		}
		return []float64{each(elapsed, ops)}, nil
	}
}
