package catalog

import "genrec/model/itemstats"

// RowMapping maps the rows of the embedding tables to those of a previous catalog, for a warm start:
// users[i] and items[i] are the previous index of the user or item with index i, or Unknown.
func (c *Catalog) RowMapping(previous *Catalog) (users, items []int) {
	users, items = make([]int, len(c.users)+1), make([]int, len(c.items)+1)
	for i, user := range c.users {
		users[i+1] = previous.UserIndex(user)
	}
	for i, item := range c.items {
		items[i+1] = previous.ItemIndex(item)
	}
	return users, items
}

// Embeddings returns the co-occurrence embedding of each item, by index - 1: unit vectors, or nil for
// an item that does not co-occur with another (itemstats.ItemCodes). A catalog has them when it has
// just been built with the format Codes; they are not saved.
func (c *Catalog) Embeddings() [][]float32 { return c.embeddings }

// SimilarItems returns, by index, the indices of the items with the most similar co-occurrence
// embeddings among those that have a previous index by RowMapping: at most limit, most similar first.
// Without Embeddings there are none.
func (c *Catalog) SimilarItems(previous []int, limit int) [][]int {
	similar := make([][]int, len(c.items)+1)
	if c.embeddings == nil {
		return similar
	}
	known := make([]bool, len(c.items))
	for i := range known {
		known[i] = previous[i+1] != Unknown
	}
	codes := itemstats.ItemCodes{Codes: c.codes, Embeddings: c.embeddings}
	for i, others := range codes.SimilarItems(known, limit) {
		for _, other := range others {
			similar[i+1] = append(similar[i+1], other+1)
		}
	}
	return similar
}
