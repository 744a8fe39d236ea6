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

// shop has one user with ten items, each once, and a second one who makes it two.
func shop(t *testing.T, maxTokens int, unknownUser float64) (*Builder, *catalog.Catalog, History) {
	t.Helper()
	var items []string
	for i := range 10 {
		items = append(items, fmt.Sprintf("thing-%d", i))
	}
	c := build(t, []catalog.Sequence{{User: "ann", Items: items}, {User: "bob", Items: items[:1]}}, catalog.Numbered)
	b := NewBuilder(Config{Catalog: c, Tokenizer: vocabulary, MaxTokens: maxTokens}).Hiding(unknownUser, 0)
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

// text writes an input as words: `<s> user_1 item_02 <mask> </s>`.
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

func TestNextAppendsTheMask(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	h.Items = h.Items[:2]
	in := b.Next(h)
	want := fmt.Sprintf("<s> %s %s %s <mask> </s>", c.UserText(h.User), c.ItemText(h.Items[0]), c.ItemText(h.Items[1]))
	if got := text(in); got != want {
		t.Errorf("the input reads %q, want %q", got, want)
	}
}

func TestEveryPieceOfAWordHasItsID(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	in := b.Next(h)
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
			t.Errorf("token %d stands for no word but has user ID %d and item ID %d", i, in.Users[i], in.Items[i])
		}
	}
}

func TestPretrainMasksOneItemOfTheTrainingPart(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	masked := make(map[string]bool)
	for range 300 {
		e := b.Pretrain(h, rng)
		input, target := text(e.Input), label(e)
		if strings.Count(input, "<mask>") != 1 || strings.Contains(input, target) {
			t.Fatalf("%q asks for %q: want exactly one mask, in its place", input, target)
		}
		for _, held := range h.Items[8:] {
			if word := c.ItemText(held); strings.Contains(input, word) || target == word {
				t.Fatalf("%q asks for %q: %q is one of the last two items", input, target, word)
			}
		}
		masked[target] = true
	}
	if len(masked) != 8 {
		t.Errorf("%d different items were masked in 300 examples, want all 8 of the training part", len(masked))
	}
}

func TestFinetuneAsksForTheNextItem(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	asked := make(map[string]bool)
	for range 300 {
		e := b.Finetune(h, rng)
		input, target := text(e.Input), label(e)
		n := strings.Count(input, "item_")
		if !strings.HasSuffix(input, "<mask> </s>") || target != c.ItemText(h.Items[n]) {
			t.Fatalf("%q asks for %q, want item %d of the history", input, target, n)
		}
		asked[target] = true
	}
	if len(asked) != 8 || asked[c.ItemText(h.Items[9])] {
		t.Errorf("asked for %d different items, want the 2nd to the 9th: the last is held out", len(asked))
	}
}

func TestShortHistoriesAreUsedWhole(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	rng := rand.New(rand.NewPCG(1, 1))
	one, two := History{h.User, h.Items[:1]}, History{h.User, h.Items[:2]}
	if got := label(b.Finetune(one, rng)); got != c.ItemText(h.Items[0]) {
		t.Errorf("a single item: asked for %q", got)
	}
	if got := label(b.Finetune(two, rng)); got != c.ItemText(h.Items[1]) {
		t.Errorf("two items: asked for %q", got)
	}
	if input := text(b.Pretrain(one, rng).Input); input != "<s> user_1 <mask> </s>" {
		t.Errorf("a single item, pretraining: %q", input)
	}
}

func TestOldItemsAreCutFirst(t *testing.T) {
	b, c, h := shop(t, 1+3+3*3+1+1+2, 0) // <s>, user, three items, mask, </s>, too little for a fourth item
	in := b.Next(h)
	want := fmt.Sprintf("<s> user_1 %s %s %s <mask> </s>", c.ItemText(h.Items[7]), c.ItemText(h.Items[8]), c.ItemText(h.Items[9]))
	if got := text(in); got != want {
		t.Errorf("the input reads %q, want the user and the newest items: %q", got, want)
	}
}

func TestUsersAreHidden(t *testing.T) {
	b, _, h := shop(t, 512, 0.5)
	rng := rand.New(rand.NewPCG(1, 1))
	hidden := 0
	for range 1000 {
		if strings.Contains(text(b.Finetune(h, rng).Input), "user_0") {
			hidden++
		}
	}
	if hidden < 450 || hidden > 550 {
		t.Errorf("the user was hidden in %d of 1000 examples, want about half", hidden)
	}
}

func TestBatch(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	inputs := []Input{b.Next(History{h.User, h.Items[:1]}), b.Next(History{h.User, h.Items[:3]})}
	batch := NewBatch(inputs)
	if batch.Rows != 2 || batch.Length != len(inputs[1].Tokens) || len(batch.Tokens) != 2*batch.Length {
		t.Fatalf("%d rows of %d, %d tokens", batch.Rows, batch.Length, len(batch.Tokens))
	}
	short := len(inputs[0].Tokens)
	if batch.Lengths[0] != int64(short) || batch.Tokens[short] != tokens.Pad || batch.Tokens[short-1] != tokens.End {
		t.Error("the short row must end with </s> and go on with padding")
	}
	if batch.Distance[short-1] != 0 || batch.Distance[0] != int64(short-1) || batch.Distance[short] != 0 {
		t.Errorf("distances of the short row: %v", batch.Distance[:batch.Length])
	}
	examples := []Example{b.Finetune(h, rand.New(rand.NewPCG(1, 1)))}
	targets := NewTargets(examples)
	if targets.Inputs[0] != tokens.End || !slices.Equal(targets.Inputs[1:], examples[0].Labels[:targets.Length-1]) {
		t.Errorf("decoder inputs %v are not the labels %v shifted behind </s>", targets.Inputs, targets.Labels)
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
		if batches != Batches(len(histories), 16) {
			t.Errorf("%d batches, announced %d", batches, Batches(len(histories), 16))
		}
		return users
	}
	first := order(1)
	if sorted := slices.Sorted(slices.Values(first)); len(slices.Compact(sorted)) != len(histories) || len(first) != len(histories) {
		t.Errorf("%d examples of %d histories", len(first), len(histories))
	}
	if !slices.Equal(first, order(1)) || slices.Equal(first, order(2)) {
		t.Error("the order must follow from the seed")
	}
}

func label(e Example) string {
	return vocabulary.Decode(e.Labels[1 : len(e.Labels)-1])
}

// wordy needs more tokens for a stranger than for the users of the catalog.
type wordy struct{ *tokens.Digits }

func (w wordy) Encode(text string) []int64 {
	if text == "user_0" {
		return slices.Repeat(w.Digits.Encode(text), 4)
	}
	return w.Digits.Encode(text)
}

func TestHiddenUsersFitToo(t *testing.T) {
	items := slices.Repeat([]string{"7"}, 300)
	c := build(t, []catalog.Sequence{{User: "1", Items: items}}, catalog.Literal)
	b := NewBuilder(Config{Catalog: c, Tokenizer: wordy{vocabulary}, MaxTokens: 64}).Hiding(0.5, 0)
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

func TestBeginningsAskForEveryItemButTheFirst(t *testing.T) {
	for _, c := range []struct {
		items []int
		want  [][]int
	}{
		{[]int{7}, [][]int{{7}}}, // all there is to learn from
		{[]int{7, 8}, [][]int{{7, 8}}},
		{[]int{7, 8, 9}, [][]int{{7, 8}}}, // the last is held out
		{[]int{7, 8, 9, 10, 11}, [][]int{{7, 8}, {7, 8, 9}, {7, 8, 9, 10}}},
	} {
		var got [][]int
		for _, h := range Beginnings(History{User: 3, Items: c.items}) {
			if h.User != 3 {
				t.Errorf("a beginning belongs to user %d, want 3", h.User)
			}
			got = append(got, h.Items)
		}
		if !slices.EqualFunc(got, c.want, slices.Equal[[]int]) {
			t.Errorf("the beginnings of %v are %v, want %v", c.items, got, c.want)
		}
	}
}

func TestLastAsksForTheLastItem(t *testing.T) {
	b, c, h := shop(t, 512, 0)
	e := b.Last(History{h.User, h.Items[:3]}, rand.New(rand.NewPCG(1, 1)))
	want := fmt.Sprintf("<s> %s %s %s <mask> </s>", c.UserText(h.User), c.ItemText(h.Items[0]), c.ItemText(h.Items[1]))
	if got := text(e.Input); got != want || label(e) != c.ItemText(h.Items[2]) || e.Item != int64(h.Items[2]) {
		t.Errorf("%q asks for %q (item %d), want %q and the third item", got, label(e), e.Item, want)
	}
	if e.Newest != int64(h.Items[1]) {
		t.Errorf("the newest item is said to be %d, want that in front of the mask, %d", e.Newest, h.Items[1])
	}
}

func TestWordPositions(t *testing.T) {
	_, c, h := shop(t, 512, 0)
	const room = 1 + 1 + 3 + 1 + 1 // <s>, user, three items, mask, </s>
	b := NewBuilder(Config{Catalog: c, Tokenizer: vocabulary, MaxTokens: room, WordPositions: true})
	in := b.Next(h)
	depth := len(b.userTokens(h.User))
	if in.Positions() != room || len(in.Items) != room || len(in.Tokens) != room*depth {
		t.Fatalf("%d positions, %d item IDs, %d tokens; want %d, and %d tokens at each", in.Positions(), len(in.Items), len(in.Tokens), room, depth)
	}
	words := append([][]int64{{tokens.Begin}, b.userTokens(h.User)}, b.ItemTokens(h.Items[7]), b.ItemTokens(h.Items[8]), b.ItemTokens(h.Items[9]))
	words = append(words, []int64{tokens.Mask}, []int64{tokens.End})
	for position, word := range words {
		at := in.Tokens[position*depth:][:depth]
		if !slices.Equal(at, appendPadded(nil, word, depth, tokens.Pad)) {
			t.Errorf("position %d holds the tokens %v, want the word %v, padded", position, at, word)
		}
	}
	if !slices.Equal(in.Items[2:5], []int64{int64(h.Items[7]), int64(h.Items[8]), int64(h.Items[9])}) || in.Users[1] != int64(h.User) {
		t.Errorf("the positions have the item IDs %v and user IDs %v", in.Items, in.Users)
	}
}

func TestItemIDsAreHidden(t *testing.T) {
	b, _, h := shop(t, 512, 0)
	b = b.Hiding(0, 0.5)
	rng := rand.New(rand.NewPCG(1, 1))
	hidden := 0
	for range 1000 {
		e := b.Last(h, rng)
		if !slices.ContainsFunc(e.Items, func(id int64) bool { return id != 0 }) {
			hidden++
		}
		if !strings.Contains(text(e.Input), "item_") {
			t.Fatalf("%q: the text must stay", text(e.Input))
		}
	}
	if hidden < 450 || hidden > 550 {
		t.Errorf("the item IDs were hidden in %d of 1000 examples, want about half", hidden)
	}
}
