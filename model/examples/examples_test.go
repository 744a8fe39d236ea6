package examples

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"genrec/model/catalog"
	"genrec/model/tokens"
)

var vocabulary = tokens.NewDigits()

// shop has a user with ten distinct items and a user with one of them.
func shop(t *testing.T, maxTokens int, unknownUser float64) (*Builder, *catalog.Catalog, History) {
	t.Helper()
	var items []string
	for i := range 10 {
		items = append(items, fmt.Sprintf("thing-%d", i))
	}
	c := build(t, []catalog.Sequence{{User: "ann", Items: items}, {User: "bob", Items: items[:1]}}, catalog.Numbered)
	b := NewBuilder(Config{Catalog: c, Tokenizer: vocabulary, MaxTokens: maxTokens}).WithIDDropout(unknownUser, 0)
	return b, c, History{User: c.UserIndex("ann"), Items: c.ItemIndices(items)}
}

func build(t *testing.T, sequences []catalog.Sequence, text catalog.TextFormat) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Build(sequences, catalog.Options{Text: text, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// text writes an input, with a space between users and items: `<s> user_1 item_02 <mask> </s>`.
func text(in Input) string {
	var words []string
	for i, token := range in.Tokens {
		piece := vocabulary.Decode([]int64{token})
		if i > 0 && (piece == "_" || words[len(words)-1] == "item_" || words[len(words)-1] == "user_") {
			words[len(words)-1] += piece
		} else {
			words = append(words, piece)
		}
	}
	return strings.Join(words, " ")
}

func TestForInferenceAppendsTheMask(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	h.Items = h.Items[:2]
	in := b.ForInference(h)
	want := fmt.Sprintf("<s> %s %s %s <mask> </s>", c.UserText(h.User), c.ItemText(h.Items[0]), c.ItemText(h.Items[1]))
	if got := text(in); got != want {
		t.Errorf("the input reads %q, want %q", got, want)
	}
}

func TestEveryTokenHasTheID(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	in := b.ForInference(h)
	if len(in.Users) != len(in.Tokens) || len(in.Items) != len(in.Tokens) {
		t.Fatalf("%d tokens, %d user IDs, %d item IDs", len(in.Tokens), len(in.Users), len(in.Items))
	}
	at := 1
	for range b.userTokens(h.User) {
		if in.Users[at] != int64(h.User) || in.Items[at] != 0 {
			t.Errorf("token %d of the user's word has user ID %d and item ID %d", at, in.Users[at], in.Items[at])
		}
		at++
	}
	for _, item := range h.Items {
		for range b.ItemTokens(item) {
			if in.Users[at] != 0 || in.Items[at] != int64(item) {
				t.Errorf("token %d of item %d has user ID %d and item ID %d", at, item, in.Users[at], in.Items[at])
			}
			at++
		}
	}
	for _, i := range []int{0, at, at + 1} { // <s>, <mask>, </s>
		if in.Users[i] != 0 || in.Items[i] != 0 {
			t.Errorf("special token %d has user ID %d and item ID %d", i, in.Users[i], in.Items[i])
		}
	}
}

func TestPretrainMasksOneItem(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	masked := make(map[string]bool)
	for range 300 {
		e := b.Pretrain(h, rng)
		input, target := text(e.Input), label(e)
		if strings.Count(input, "<mask>") != 1 || strings.Contains(input, target) {
			t.Fatalf("%q with the target %q: want one mask in the place of the target", input, target)
		}
		for _, held := range h.Items[8:] {
			if word := c.ItemText(held); strings.Contains(input, word) || target == word {
				t.Fatalf("%q with the target %q: %q is held out", input, target, word)
			}
		}
		masked[target] = true
	}
	if len(masked) != 8 {
		t.Errorf("%d different items were masked in 300 examples, want all 8 that are not held out", len(masked))
	}
}

func TestFinetunePredictsTheNextItem(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	targets := make(map[string]bool)
	for range 300 {
		e := b.Finetune(h, rng)
		input, target := text(e.Input), label(e)
		n := strings.Count(input, "item_")
		if !strings.HasSuffix(input, "<mask> </s>") || target != c.ItemText(h.Items[n]) {
			t.Fatalf("%q has the target %q, want item %d of the history", input, target, n)
		}
		targets[target] = true
	}
	if len(targets) != 8 || targets[c.ItemText(h.Items[9])] {
		t.Errorf("%d different targets, want the 2nd to the 9th item: the last is held out", len(targets))
	}
}

func TestShortHistoriesAreUsedWhole(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	one, two := History{h.User, h.Items[:1]}, History{h.User, h.Items[:2]}
	if got := label(b.Finetune(one, rng)); got != c.ItemText(h.Items[0]) {
		t.Errorf("a single item: target %q", got)
	}
	if got := label(b.Finetune(two, rng)); got != c.ItemText(h.Items[1]) {
		t.Errorf("two items: target %q", got)
	}
	if input := text(b.Pretrain(one, rng).Input); input != "<s> user_1 <mask> </s>" {
		t.Errorf("a single item, pretraining: %q", input)
	}
}

func TestOldestItemsAreTruncated(t *testing.T) {
	b, c, h := shop(t, 1+3+3*3+1+1+2, 0) // <s>, user, three items, mask, </s>, and too little for a fourth item
	in := b.ForInference(h)
	want := fmt.Sprintf("<s> user_1 %s %s %s <mask> </s>", c.ItemText(h.Items[7]), c.ItemText(h.Items[8]), c.ItemText(h.Items[9]))
	if got := text(in); got != want {
		t.Errorf("the input reads %q, want the user and the newest items: %q", got, want)
	}
}

func TestUserDropout(t *testing.T) {
	b, _, h := shop(t, 512, 0.5)
	rng := rand.New(rand.NewPCG(1, 1))
	dropped := 0
	for range 1000 {
		if strings.Contains(text(b.Finetune(h, rng).Input), "user_0") {
			dropped++
		}
	}
	if dropped < 450 || dropped > 550 {
		t.Errorf("the user was dropped in %d of 1000 examples, want about half", dropped)
	}
}

func TestBatch(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	inputs := []Input{b.ForInference(History{h.User, h.Items[:1]}), b.ForInference(History{h.User, h.Items[:3]})}
	batch := NewBatch(inputs)
	if batch.Rows != 2 || batch.Length != len(inputs[1].Tokens) || len(batch.Tokens) != 2*batch.Length {
		t.Fatalf("%d rows of %d, %d tokens", batch.Rows, batch.Length, len(batch.Tokens))
	}
	short := len(inputs[0].Tokens)
	if batch.Lengths[0] != int64(short) || batch.Tokens[short] != tokens.Pad || batch.Tokens[short-1] != tokens.End {
		t.Error("the short row must end with </s> and padding")
	}
	if batch.Distance[short-1] != 0 || batch.Distance[0] != int64(short-1) || batch.Distance[short] != 0 {
		t.Errorf("distances of the short row: %v", batch.Distance[:batch.Length])
	}
	examples := []Example{b.Finetune(h, rand.New(rand.NewPCG(1, 1)))}
	targets := NewTargets(examples)
	if targets.Inputs[0] != tokens.End || !slices.Equal(targets.Inputs[1:], examples[0].Labels[:targets.Length-1]) {
		t.Errorf("decoder inputs %v are not the labels %v shifted after </s>", targets.Inputs, targets.Labels)
	}
}

func TestEpochUsesEveryHistoryOnce(t *testing.T) {
	_, _, h := shop(t, 512, 0)
	histories := make([]History, 1000)
	for i := range histories {
		histories[i] = History{User: i, Items: h.Items[:1+i%10]}
	}
	identify := func(h History, _ *rand.Rand) Example {
		return Example{Input: Input{Users: slices.Repeat([]int64{int64(h.User)}, len(h.Items))}}
	}
	order := func(seed uint64) (users []int64) {
		batches := 0
		for batch := range Epoch(histories, identify, 16, rand.New(rand.NewPCG(seed, 0))) {
			batches++
			for _, e := range batch {
				users = append(users, e.Users[0])
			}
		}
		if batches != BatchesPerEpoch(len(histories), 16) {
			t.Errorf("%d batches, BatchesPerEpoch is %d", batches, BatchesPerEpoch(len(histories), 16))
		}
		return users
	}
	first := order(1)
	if sorted := slices.Sorted(slices.Values(first)); len(slices.Compact(sorted)) != len(histories) || len(first) != len(histories) {
		t.Errorf("%d examples of %d histories", len(first), len(histories))
	}
	if !slices.Equal(first, order(1)) || slices.Equal(first, order(2)) {
		t.Error("the order must be a function of the seed")
	}
}

func label(e Example) string {
	return vocabulary.Decode(e.Labels[1 : len(e.Labels)-1])
}

// wordy encodes the unknown user in more tokens than those of the catalog.
type wordy struct{ *tokens.Digits }

func (w wordy) Encode(text string) []int64 {
	if text == "user_0" {
		return slices.Repeat(w.Digits.Encode(text), 4)
	}
	return w.Digits.Encode(text)
}

func TestDroppedUsersFit(t *testing.T) {
	items := slices.Repeat([]string{"7"}, 300)
	c := build(t, []catalog.Sequence{{User: "1", Items: items}}, catalog.Literal)
	b := NewBuilder(Config{Catalog: c, Tokenizer: wordy{vocabulary}, MaxTokens: 64}).WithIDDropout(0.5, 0)
	h := History{User: c.UserIndex("1"), Items: c.ItemIndices(items)}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		for _, e := range []Example{b.Pretrain(h, rng), b.Finetune(h, rng)} {
			if len(e.Tokens) > 64 {
				t.Fatalf("%q has %d tokens, want at most 64", text(e.Input), len(e.Tokens))
			}
		}
	}
}

func TestPrefixes(t *testing.T) {
	for _, c := range []struct {
		items []int
		want  [][]int
	}{
		{[]int{7}, [][]int{{7}}}, // used whole
		{[]int{7, 8}, [][]int{{7, 8}}},
		{[]int{7, 8, 9}, [][]int{{7, 8}}}, // the last is held out
		{[]int{7, 8, 9, 10, 11}, [][]int{{7, 8}, {7, 8, 9}, {7, 8, 9, 10}}},
	} {
		var got [][]int
		for _, h := range Prefixes(History{User: 3, Items: c.items}) {
			if h.User != 3 {
				t.Errorf("a prefix belongs to user %d, want 3", h.User)
			}
			got = append(got, h.Items)
		}
		if !slices.EqualFunc(got, c.want, slices.Equal[[]int]) {
			t.Errorf("the prefixes of %v are %v, want %v", c.items, got, c.want)
		}
	}
}

func TestPredictLast(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	e := b.PredictLast(History{h.User, h.Items[:3]}, rand.New(rand.NewPCG(1, 1)))
	want := fmt.Sprintf("<s> %s %s %s <mask> </s>", c.UserText(h.User), c.ItemText(h.Items[0]), c.ItemText(h.Items[1]))
	if got := text(e.Input); got != want || label(e) != c.ItemText(h.Items[2]) || e.Item != int64(h.Items[2]) {
		t.Errorf("%q with the target %q (item %d), want %q and the third item", got, label(e), e.Item, want)
	}
	if e.Newest != int64(h.Items[1]) {
		t.Errorf("Newest is %d, want the item before the mask, %d", e.Newest, h.Items[1])
	}
}

func TestPoolTokens(t *testing.T) {
	_, c, h := shop(t, 512, 0)
	const positions = 1 + 1 + 3 + 1 + 1 // <s>, user, three items, mask, </s>
	b := NewBuilder(Config{Catalog: c, Tokenizer: vocabulary, MaxTokens: positions, PoolTokens: true})
	in := b.ForInference(h)
	depth := len(b.userTokens(h.User))
	if in.Positions() != positions || len(in.Items) != positions || len(in.Tokens) != positions*depth {
		t.Fatalf("%d positions, %d item IDs, %d tokens; want %d, and %d tokens at each", in.Positions(), len(in.Items), len(in.Tokens), positions, depth)
	}
	texts := append([][]int64{{tokens.Begin}, b.userTokens(h.User)}, b.ItemTokens(h.Items[7]), b.ItemTokens(h.Items[8]), b.ItemTokens(h.Items[9]))
	texts = append(texts, []int64{tokens.Mask}, []int64{tokens.End})
	for position, text := range texts {
		at := in.Tokens[position*depth:][:depth]
		if !slices.Equal(at, appendPadded(nil, text, depth, tokens.Pad)) {
			t.Errorf("position %d has the tokens %v, want %v, padded", position, at, text)
		}
	}
	if !slices.Equal(in.Items[2:5], []int64{int64(h.Items[7]), int64(h.Items[8]), int64(h.Items[9])}) || in.Users[1] != int64(h.User) {
		t.Errorf("the positions have the item IDs %v and user IDs %v", in.Items, in.Users)
	}
}

func TestItemDropout(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	b = b.WithIDDropout(0, 0.5)
	rng := rand.New(rand.NewPCG(1, 1))
	dropped := 0
	for range 1000 {
		e := b.PredictLast(h, rng)
		if !slices.ContainsFunc(e.Items, func(id int64) bool { return id != 0 }) {
			dropped++
		}
		if !strings.Contains(text(e.Input), "item_") {
			t.Fatalf("%q: the text must be kept", text(e.Input))
		}
	}
	if dropped < 450 || dropped > 550 {
		t.Errorf("the item IDs were dropped in %d of 1000 examples, want about half", dropped)
	}
}
