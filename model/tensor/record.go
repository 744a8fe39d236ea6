package tensor

import "genrec/model/libtorch"

// Recording is what operations gave a GPU to do, to be done again with what their arguments
// hold by then.
type Recording struct{ graph libtorch.Graph }

// Record records the operations of f, which are not done yet and must not need anything of
// the GPU on the host. Everything that they begin with or result in has to stay.
func Record(f func()) *Recording {
	graph, err := libtorch.Record(f)
	raise(err)
	return &Recording{graph}
}

// Again does what was recorded, in the calling thread's stream.
func (r *Recording) Again() { raise(r.graph.Launch()) }

// Free ends the recording.
func (r *Recording) Free() { r.graph.Free() }
