package model

import (
	"cmp"
	"context"
	"slices"

	"genrec/model/libtorch"
	"genrec/model/rank"
	"genrec/model/tensor"
)

// mostTogether is how many requests a CPU searches at once: enough for products of
// matrices, few enough that one operation finds in the caches what the one before it left.
const mostTogether = 16

// mostOnGPU is how many requests a stream of a GPU searches at once: enough to be busy, few
// enough that the largest model's searches fit into its memory.
const mostOnGPU = 256

// parts are the numbers of the requests that are searched together, those of about the same
// length, the longest first; on a CPU in equally many parts for each thread.
func (s *Searcher) parts(requests []*rank.Request) [][]int {
	numbers := make([]int, len(requests))
	for i := range numbers {
		numbers[i] = i
	}
	slices.SortStableFunc(numbers, func(a, b int) int {
		return cmp.Compare(requests[b].Input.Positions(), requests[a].Input.Positions())
	})
	threads, most := s.crew.size(), mostTogether
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
func (s *Searcher) inParts(ctx context.Context, requests []*rank.Request, work func(thread int, g *graph, numbers []int, part []*rank.Request)) error {
	parts := s.parts(requests)
	return s.crew.each(ctx, len(parts), func(thread, i int) {
		defer libtorch.Inference()()
		g := s.newGraph()
		defer g.Free()
		part := make([]*rank.Request, len(parts[i]))
		for j, number := range parts[i] {
			part[j] = requests[number]
		}
		work(thread, g, parts[i], part)
	})
}

// awaitWeights returns when the device has done all that the calling thread and others gave it,
// such as changes of the weights, which a searching thread's stream would not wait for.
func (s *Searcher) awaitWeights() (err error) {
	defer tensor.Catch(&err)
	tensor.Wait(s.device.libtorch)
	return nil
}
