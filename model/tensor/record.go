package tensor

import "genrec/model/libtorch"

// Recording is what operations gave a GPU to do, to be done again with what their arguments
// hold by then.
type Recording struct{ graph libtorch.Graph }

// Record records the operations of f, which are not done yet and must not need anything of
// the GPU on the host. What they begin with and what is read of their results has to stay;
// the memory of the rest is the pool's.
func Record(pool *libtorch.GraphPool, f func()) *Recording {
	graph, err := libtorch.Record(pool, f)
	raise(err)
	return &Recording{graph}
}

// Replay does what was recorded, in the calling thread's stream.
func (r *Recording) Replay() { raise(r.graph.Launch()) }

// Free ends the recording.
func (r *Recording) Free() { r.graph.Free() }
