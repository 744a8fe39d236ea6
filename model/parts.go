package model

import (
	"cmp"
	"slices"

	"genrec/model/examples"
	"genrec/model/libtorch"
	"genrec/model/tensor"
)

// mostTogether is how many requests a CPU searches at once: enough for products of
// matrices, few enough that one operation finds in the caches what the one before it left.
const mostTogether = 8

// mostOnGPU is how many requests a stream of a GPU searches at once: enough to be busy, few
// enough that the largest model's searches fit into its memory.
const mostOnGPU = 256

// parts are the numbers of the requests that are searched together, those of about the same
// length, the longest first; on a CPU in equally many parts for each thread.
func (s *Searcher) parts(requests []request) [][]int {
	numbers := make([]int, len(requests))
	for i := range numbers {
		numbers[i] = i
	}
	slices.SortStableFunc(numbers, func(a, b int) int {
		return cmp.Compare(requests[b].input.Positions(), requests[a].input.Positions())
	})
	threads, most := max(1, len(s.crew)), mostTogether
	if s.device != CPU {
		threads, most = 1, mostOnGPU
	}
	rounds := (len(requests) + threads*most - 1) / (threads * most)
	parts := make([][]int, min(rounds*threads, len(requests)))
	for i := range parts {
		parts[i] = numbers[i*len(numbers)/len(parts) : (i+1)*len(numbers)/len(parts)]
	}
	return parts
}

// inParts does work on each of the parts, as many at a time as there are threads.
func (s *Searcher) inParts(requests []request, work func(g *graph, numbers []int, part []request)) error {
	if len(requests) == 0 {
		return nil
	}
	tensor.Wait(s.device.libtorch) // for the weights, which another thread may have changed
	parts := s.parts(requests)
	return s.crew.each(len(parts), func(i int) {
		defer libtorch.Inference()()
		g := s.newGraph()
		defer g.Free()
		part := make([]request, len(parts[i]))
		for j, number := range parts[i] {
			part[j] = requests[number]
		}
		work(g, parts[i], part)
	})
}

func batchOf(requests []request) examples.Batch {
	inputs := make([]examples.Input, len(requests))
	for i, r := range requests {
		inputs[i] = r.input
	}
	return examples.NewBatch(inputs)
}

func mostSpare(requests []request) (most int) {
	for _, r := range requests {
		most = max(most, r.spare)
	}
	return most
}
