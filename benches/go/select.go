package main

import (
	"fmt"
	"time"
)

// selects has one goroutine select over so many channels of capacity 128, each with a sender of its own.
func selects(width int) workload {
	return func(ops uint64) ([]float64, error) {
		channels := make([]chan uint64, width)
		for i := range channels {
			channels[i] = make(chan uint64, 128)
		}
		var run func([]chan uint64, uint64) uint64
		switch width {
		case 2:
			run = selectOfTwo
		case 4:
			run = selectOfFour
		case 8:
			run = selectOfEight
		default:
			return nil, fmt.Errorf("there is no select over %d", width)
		}
		start := time.Now()
		first := uint64(0)
		for i, share := range shares(ops, width) {
			go func(channel chan<- uint64, first uint64) {
				for message := first; message < first+share; message++ {
					channel <- message
				}
			}(channels[i], first)
			first += share
		}
		sum := make(chan uint64)
		go func() { sum <- run(channels, ops) }()
		got := <-sum
		elapsed := time.Since(start)
		if err := check("is the sum of the messages", got, ops*(ops-1)/2); err != nil {
			return nil, err
		}
		return []float64{each(elapsed, ops)}, nil
	}
}

func selectOfTwo(channels []chan uint64, messages uint64) (sum uint64) {
	a, b := channels[0], channels[1]
	for range messages {
		select {
		case message := <-a:
			sum += message
		case message := <-b:
			sum += message
		}
	}
	return sum
}

func selectOfFour(channels []chan uint64, messages uint64) (sum uint64) {
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	for range messages {
		select {
		case message := <-a:
			sum += message
		case message := <-b:
			sum += message
		case message := <-c:
			sum += message
		case message := <-d:
			sum += message
		}
	}
	return sum
}

func selectOfEight(channels []chan uint64, messages uint64) (sum uint64) {
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	e, f, g, h := channels[4], channels[5], channels[6], channels[7]
	for range messages {
		select {
		case message := <-a:
			sum += message
		case message := <-b:
			sum += message
		case message := <-c:
			sum += message
		case message := <-d:
			sum += message
		case message := <-e:
			sum += message
		case message := <-f:
			sum += message
		case message := <-g:
			sum += message
		case message := <-h:
			sum += message
		}
	}
	return sum
}
