// Package model is GenRec (arXiv 2407.21191): a BART encoder-decoder that reads a user's items as text
// and generates the text of the next one.
//
// # From a sequence to recommendations
//
// Five files lead from a user's sequence of item ids to the top 20 items:
//
//  1. recommender.go opens a published version and answers queries (Recommender.Recommend).
//  2. rank/rank.go prepares a query, has the network score it, fuses the scores with those of the
//     rules, and takes the best items.
//  3. examples/examples.go turns the item ids of a query into the tokens that the encoder reads.
//  4. search.go runs the beam search over the trie of all items' texts. If items are leaves, its last step
//     scores those below the beams by their embeddings; other models may have a dense head over all items.
//  5. network.go is the forward pass: embeddings, encoder, decoder, logits and losses.
//
// # Execution
//
// How a layer is computed is behind the interface in backend.go, chosen when a Searcher is opened: the
// plain backend composes libtorch's operations, the fused one (backend_cpu.go) makes a layer one call,
// and the CUDA one (backend_cuda.go) has kernels and replays batches as CUDA graphs. packing.go brings
// batches to the device, and threads.go divides the requests of a call into micro-batches for the
// threads of a Searcher.
//
// # Training
//
// A Trainer (trainer.go) runs optimizer steps with the plain backend, and saves and resumes checkpoints.
// A training starts from random weights, from BART's (LoadPretrained), or from a previous version
// (warm_start.go). In large catalogs a step trains a sample of the items (item_sample.go).
//
// # Files
//
// Bundle is what a published version holds: a Model with its catalog, vocabulary and rules. A model's
// folder can be read by Hugging Face's transformers.
package model
