// Package examples turns users' histories into training examples and model inputs: the text of the
// paper's prompts as tokens, with masks and targets, and padded batches of them.
//
// An input is the user followed by the items, oldest first, between begin and end tokens. Each position
// also has the index of the user or item that it belongs to, for the ID embeddings (paper, section
// 4.1). In pretraining, a random item is replaced by the mask token; in finetuning and inference, the
// mask follows the history (sections 4.2 and 4.3). The decoder has to write the text of the masked
// item. A Builder makes examples of histories, and Epoch batches of examples.
package examples

import (
	"math/rand/v2"

	"genrec/model/catalog"
	"genrec/model/tokens"
)

// History is a user's history.
type History struct {
	// User is the index of the user in the catalog, or catalog.Unknown.
	User int
	// Items are the indices of the items, oldest first.
	Items []int
}

// Tokenizer is the part of tokens.Tokenizer that a Builder needs.
type Tokenizer interface {
	// Encode returns the token ids of a text.
	Encode(text string) []int64
	// MaskID is the id of the mask token.
	MaskID() int64
}

// Input is the input of the encoder for one user.
type Input struct {
	// Tokens are the token ids: one for each position, or, with Config.PoolTokens, equally many for
	// each position, padded at the end.
	Tokens []int64
	// Users and Items are the index of the user or item at each position, 0 where there is none.
	Users, Items []int64
	// Newest is the index of the last item that is not masked, 0 if there is none.
	Newest int64
}

// Positions is the length of the encoder's input.
func (in Input) Positions() int { return len(in.Users) }

// Example is an input with its target.
type Example struct {
	Input
	// Labels are the tokens that the decoder has to write, between begin and end tokens; with
	// Config.ItemLeaves, the begin token and those of the item's path.
	Labels []int64
	// Item is the index of the target item.
	Item int64
}

// Builder makes examples of histories. It is immutable and safe for concurrent use.
type Builder struct {
	maxPositions int
	mask         int64
	itemTokens   [][]int64 // by index; entry 0 is not used
	userTokens   func(user int) []int64
	pooled       int // tokens at a position, or 0 if each token has its own position
	itemLeaves   bool
	userDropout  float64 // share of training examples whose user is replaced by Unknown
	itemDropout  float64 // share of training examples without item IDs
}

// Config of a Builder.
type Config struct {
	// Catalog has the texts of users and items.
	Catalog *catalog.Catalog
	// Tokenizer encodes them.
	Tokenizer Tokenizer
	// MaxTokens is the largest number of positions of an input (512 in the paper). The oldest items
	// are left out of longer histories.
	MaxTokens int
	// PoolTokens puts all tokens of a user or item at one position, where the model sums their
	// embeddings.
	PoolTokens bool
	// ItemLeaves leaves the last token of an item, and the end token, out of the labels.
	ItemLeaves bool
}

// NewBuilder returns a Builder. It tokenizes every item of the catalog.
func NewBuilder(c Config) *Builder {
	b := &Builder{
		maxPositions: c.MaxTokens,
		itemLeaves:   c.ItemLeaves,
		mask:         c.Tokenizer.MaskID(),
		itemTokens:   make([][]int64, c.Catalog.Items()+1),
		userTokens:   func(user int) []int64 { return c.Tokenizer.Encode(c.Catalog.UserText(user)) },
	}
	for n := 1; n <= c.Catalog.Items(); n++ {
		b.itemTokens[n] = c.Tokenizer.Encode(c.Catalog.ItemText(n))
	}
	if c.PoolTokens {
		b.pooled = c.maxTextTokens(b.itemTokens)
	}
	return b
}

// maxTextTokens is the largest number of tokens of a user or item.
func (c Config) maxTextTokens(items [][]int64) int {
	most := 1 // of special tokens
	for _, tokens := range items {
		most = max(most, len(tokens))
	}
	for user := range c.Catalog.Users() + 1 {
		most = max(most, len(c.Tokenizer.Encode(c.Catalog.UserText(user))))
	}
	return most
}

// WithIDDropout returns a Builder that replaces the user by catalog.Unknown in a share of the training
// examples, so that the model learns to recommend to new users, and leaves out the IDs of the items in
// another share, so that it learns from their texts. Both are in [0, 1].
func (b *Builder) WithIDDropout(users, items float64) *Builder {
	dropping := *b
	dropping.userDropout, dropping.itemDropout = users, items
	return &dropping
}

// ItemTokens is the tokenized text of the item with an index.
func (b *Builder) ItemTokens(item int) []int64 { return b.itemTokens[item] }

// ForInference returns the input to predict the item after a history: the mask is at the end.
func (b *Builder) ForInference(h History) Input {
	return b.input(h.User, append(b.truncate(h, 1), maskedItem))
}

// Pretrain masks a random item of the history without its last two items, which are held out (paper,
// section 4.2). A history of one or two items is used whole.
func (b *Builder) Pretrain(h History, rng *rand.Rand) Example {
	h.User = b.dropUser(h.User, rng)
	items := b.truncate(History{h.User, catalog.WithoutHeldOut(h.Items, 2)}, 0)
	masked := rng.IntN(len(items))
	target := items[masked]
	items[masked] = maskedItem
	return b.example(h.User, items, target, rng)
}

// Finetune has the last item of a random prefix of the history as the target. The last item of the
// history is held out (paper, section 4.3).
func (b *Builder) Finetune(h History, rng *rand.Rand) Example {
	items := catalog.WithoutHeldOut(h.Items, 1)
	end := 1
	if len(items) > 1 {
		end = 2 + rng.IntN(len(items)-1)
	}
	return b.PredictLast(History{h.User, items[:end]}, rng)
}

// PredictLast has the last item of the history as the target.
func (b *Builder) PredictLast(h History, rng *rand.Rand) Example {
	last := len(h.Items) - 1
	target := h.Items[last]
	h = History{b.dropUser(h.User, rng), h.Items[:last]}
	return b.example(h.User, append(b.truncate(h, 1), maskedItem), target, rng)
}

// Prefixes returns all prefixes of a history among which Finetune draws: those of at least two items
// without the held-out item. For a history of one item, it is that item.
func Prefixes(h History) []History {
	items := catalog.WithoutHeldOut(h.Items, 1)
	if len(items) == 1 {
		return []History{{h.User, items}}
	}
	prefixes := make([]History, 0, len(items)-1)
	for end := 2; end <= len(items); end++ {
		prefixes = append(prefixes, History{h.User, items[:end]})
	}
	return prefixes
}

// maskedItem represents the mask token in a list of items.
const maskedItem = -1

func (b *Builder) dropUser(user int, rng *rand.Rand) int {
	if rng.Float64() < b.userDropout {
		return catalog.Unknown
	}
	return user
}

func (b *Builder) example(user int, items []int, target int, rng *rand.Rand) Example {
	in := b.input(user, items)
	if b.itemDropout > 0 && rng.Float64() < b.itemDropout {
		clear(in.Items)
	}
	labels := append([]int64{tokens.Begin}, b.itemTokens[target]...)
	if b.itemLeaves {
		labels = labels[:len(labels)-1]
	} else {
		labels = append(labels, tokens.End)
	}
	return Example{Input: in, Labels: labels, Item: int64(target)}
}

// truncate copies the newest items that fit into an input with the user, the begin and end tokens, and
// so many extra positions.
func (b *Builder) truncate(h History, extra int) []int {
	left := b.maxPositions - b.positions(b.userTokens(h.User)) - 2 - extra
	from := len(h.Items)
	for from > 0 && b.positions(b.itemTokens[h.Items[from-1]]) <= left {
		from--
		left -= b.positions(b.itemTokens[h.Items[from]])
	}
	return append(make([]int, 0, len(h.Items)-from+1), h.Items[from:]...)
}

// positions is the number of positions that the tokens of a user or item take.
func (b *Builder) positions(text []int64) int {
	if b.pooled > 0 {
		return 1
	}
	return len(text)
}

func (b *Builder) input(user int, items []int) Input {
	var in Input
	add := func(text []int64, user, item int) {
		in.Tokens = appendPadded(in.Tokens, text, max(b.pooled, len(text)), tokens.Pad)
		for range b.positions(text) {
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
