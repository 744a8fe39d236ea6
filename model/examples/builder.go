// Package examples turns histories into what the model reads and is asked for:
// the paper's input text, its masks, and padded batches.
package examples

import (
	"math/rand/v2"

	"genrec/model/catalog"
	"genrec/model/tokens"
)

// IgnoredLabel marks decoder positions that take no part in the loss.
const IgnoredLabel = -100

// History is a user's items under dense numbers, oldest first.
type History struct {
	User  int
	Items []int
}

// Tokenizer is the vocabulary that a model reads.
type Tokenizer interface {
	Encode(text string) []int64
	MaskID() int64
}

// Input is one encoder input: per position the token id and the dense number of the
// user or item whose word the token belongs to, 0 where there is none. Where a word
// takes one position, Tokens holds equally many ids for each, padded at the end.
type Input struct {
	Tokens, Users, Items []int64
	Newest               int64 // the last item that is not masked, 0 where there is none
}

// Positions is how long the encoder's input is.
func (in Input) Positions() int { return len(in.Users) }

// Example is an input with the item that is asked for: the text that the decoder has
// to write, and the dense number.
type Example struct {
	Input
	Labels []int64
	Item   int64
}

// Builder writes examples. It is safe for concurrent use.
type Builder struct {
	maxTokens   int
	mask        int64
	itemTokens  [][]int64 // by dense item number; entry 0 is not used
	userTokens  func(user int) []int64
	joined      int // tokens at a position, where a word takes one; 0 where a token does
	unknownUser float64
	hiddenItems float64
}

// Config of a Builder.
type Config struct {
	Catalog   *catalog.Catalog
	Tokenizer Tokenizer
	// MaxTokens bounds the positions of an input; older items are left out first (512
	// in the paper).
	MaxTokens int
	// WordPositions gives a word one position for all of its tokens.
	WordPositions bool
}

// NewBuilder tokenizes every item of the catalog once.
func NewBuilder(c Config) *Builder {
	b := &Builder{
		maxTokens:  c.MaxTokens,
		mask:       c.Tokenizer.MaskID(),
		itemTokens: make([][]int64, c.Catalog.Items()+1),
		userTokens: func(user int) []int64 { return c.Tokenizer.Encode(c.Catalog.UserText(user)) },
	}
	for n := 1; n <= c.Catalog.Items(); n++ {
		b.itemTokens[n] = c.Tokenizer.Encode(c.Catalog.ItemText(n))
	}
	if c.WordPositions {
		b.joined = c.longestWord(b.itemTokens)
	}
	return b
}

func (c Config) longestWord(items [][]int64) int {
	longest := 1 // a mark
	for _, tokens := range items {
		longest = max(longest, len(tokens))
	}
	for user := range c.Catalog.Users() + 1 {
		longest = max(longest, len(c.Tokenizer.Encode(c.Catalog.UserText(user))))
	}
	return longest
}

// Hiding is a builder that hides the user of a share of the training examples, so that
// the model learns what to say to users whom it has never met, and the IDs of the items
// of another share, so that it learns to read their text.
func (b *Builder) Hiding(users, items float64) *Builder {
	hiding := *b
	hiding.unknownUser, hiding.hiddenItems = users, items
	return &hiding
}

// ItemTokens is the text of a dense item number as tokens.
func (b *Builder) ItemTokens(item int) []int64 { return b.itemTokens[item] }

// Next asks for the item after the history: the mask stands at the end, as in
// finetuning and inference (paper, section 4.3).
func (b *Builder) Next(h History) Input {
	return b.input(h.User, append(b.fitting(h, 1), maskedItem))
}

// Pretrain masks one random item of the training part, which leaves out the last
// two items (paper, section 4.2). A history of one or two items has no held-out
// part and is used whole.
func (b *Builder) Pretrain(h History, rng *rand.Rand) Example {
	h.User = b.hide(h.User, rng)
	items := b.fitting(History{h.User, catalog.WithoutHeldOut(h.Items, 2)}, 0)
	masked := rng.IntN(len(items))
	target := items[masked]
	items[masked] = maskedItem
	return b.example(h.User, items, target, rng)
}

// Finetune asks for the next item after a random beginning of the history, which
// leaves out the last item (paper, section 4.3).
func (b *Builder) Finetune(h History, rng *rand.Rand) Example {
	items := catalog.WithoutHeldOut(h.Items, 1)
	end := 1
	if len(items) > 1 {
		end = 2 + rng.IntN(len(items)-1)
	}
	return b.Last(History{h.User, items[:end]}, rng)
}

// Last asks for the last item of a history, given those before it.
func (b *Builder) Last(h History, rng *rand.Rand) Example {
	last := len(h.Items) - 1
	target := h.Items[last]
	h = History{b.hide(h.User, rng), h.Items[:last]}
	return b.example(h.User, append(b.fitting(h, 1), maskedItem), target, rng)
}

// Beginnings are the parts of a history of which Finetune asks for the last item: all
// from its start but a single item, and none with the item held out. A history of one
// item has but itself.
func Beginnings(h History) []History {
	items := catalog.WithoutHeldOut(h.Items, 1)
	if len(items) == 1 {
		return []History{{h.User, items}}
	}
	beginnings := make([]History, 0, len(items)-1)
	for end := 2; end <= len(items); end++ {
		beginnings = append(beginnings, History{h.User, items[:end]})
	}
	return beginnings
}

// maskedItem stands in a list of items for the mask token.
const maskedItem = -1

// hide makes a stranger of a share of the users.
func (b *Builder) hide(user int, rng *rand.Rand) int {
	if rng.Float64() < b.unknownUser {
		return catalog.Unknown
	}
	return user
}

func (b *Builder) example(user int, items []int, target int, rng *rand.Rand) Example {
	in := b.input(user, items)
	if b.hiddenItems > 0 && rng.Float64() < b.hiddenItems {
		clear(in.Items)
	}
	labels := append([]int64{tokens.Begin}, b.itemTokens[target]...)
	return Example{Input: in, Labels: append(labels, tokens.End), Item: int64(target)}
}

// fitting copies the newest items that fit into the input beside the user, the
// sentence marks and extra further tokens.
func (b *Builder) fitting(h History, extra int) []int {
	room := b.maxTokens - b.positions(b.userTokens(h.User)) - 2 - extra
	from := len(h.Items)
	for from > 0 && b.positions(b.itemTokens[h.Items[from-1]]) <= room {
		from--
		room -= b.positions(b.itemTokens[h.Items[from]])
	}
	return append(make([]int, 0, len(h.Items)-from+1), h.Items[from:]...)
}

// positions is how many a word takes.
func (b *Builder) positions(word []int64) int {
	if b.joined > 0 {
		return 1
	}
	return len(word)
}

func (b *Builder) input(user int, items []int) Input {
	var in Input
	add := func(word []int64, user, item int) {
		in.Tokens = appendPadded(in.Tokens, word, max(b.joined, len(word)), tokens.Pad)
		for range b.positions(word) {
			in.Users = append(in.Users, int64(user))
			in.Items = append(in.Items, int64(item))
		}
	}
	add([]int64{tokens.Begin}, 0, 0)
	add(b.userTokens(user), user, 0)
	for _, item := range items {
		if item == maskedItem {
			add([]int64{b.mask}, 0, 0)
		} else {
			add(b.itemTokens[item], 0, item)
			in.Newest = int64(item)
		}
	}
	add([]int64{tokens.End}, 0, 0)
	return in
}
