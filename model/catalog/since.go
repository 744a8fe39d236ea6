package catalog

import "genrec/model/itemstats"

// Since says which numbers the users and items of this catalog have in an earlier one, by
// their numbers here: 0 for those that are new. Nothing has the number 0 in either.
func (c *Catalog) Since(earlier *Catalog) (users, items []int) {
	users, items = make([]int, len(c.users)+1), make([]int, len(c.items)+1)
	for i, user := range c.users {
		users[i+1] = earlier.UserNumber(user)
	}
	for i, item := range c.items {
		items[i+1] = earlier.ItemNumber(item)
	}
	return users, items
}

// Neighbors lists, by item number, the items with a number in an earlier catalog that each is
// used most like, at most so many, as numbers here. Only a catalog just built with the text
// Codes knows of any.
func (c *Catalog) Neighbors(since []int, most int) [][]int {
	neighbors := make([][]int, len(c.items)+1)
	if c.vectors == nil {
		return neighbors
	}
	known := make([]bool, len(c.items))
	for i := range known {
		known[i] = since[i+1] != Unknown
	}
	for i, places := range (itemstats.ItemCodes{Codes: c.codes, Embeddings: c.vectors}).SimilarItems(known, most) {
		for _, place := range places {
			neighbors[i+1] = append(neighbors[i+1], place+1)
		}
	}
	return neighbors
}
