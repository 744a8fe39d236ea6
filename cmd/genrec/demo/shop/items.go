package shop

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"genrec/pkg/userstate"
)

// Item is an item of the shop. The recommender sees only its id.
type Item struct {
	ID         string // such as item-0042; carries no information
	Title      string // for people, distinct
	Department string // for people
}

// departments have one topic for each kind of item.
var departments = []struct {
	name  string
	kinds []string
}{
	{"Kitchen", []string{"teapot", "skillet", "bread knife", "mixing bowl", "mug", "salt mill", "kettle", "cutting board", "apron", "colander"}},
	{"Garden", []string{"watering can", "hand trowel", "planter", "hammock", "bird feeder", "pruning shears", "rake", "seed tray", "lantern", "garden bench"}},
	{"Outdoor", []string{"tent", "sleeping bag", "backpack", "headlamp", "camp stove", "hiking boots", "rain jacket", "water bottle", "compass", "trekking poles"}},
	{"Music", []string{"ukulele", "record player", "headphones", "drumsticks", "metronome", "guitar strap", "music stand", "harmonica", "microphone", "tambourine"}},
	{"Books", []string{"atlas", "cookbook", "crime novel", "poetry volume", "picture book", "field guide", "notebook", "travel guide", "biography", "comic"}},
	{"Sport", []string{"yoga mat", "jump rope", "tennis racket", "football", "swim goggles", "dumbbell", "climbing harness", "cycling gloves", "skateboard", "frisbee"}},
	{"Home", []string{"floor lamp", "wool blanket", "cushion", "wall clock", "vase", "rug", "bookshelf", "candle", "mirror", "armchair"}},
	{"Office", []string{"fountain pen", "desk lamp", "stapler", "keyboard", "monitor stand", "desk pad", "pencil case", "letter tray", "office chair", "planner"}},
	{"Toys", []string{"kite", "puzzle", "train set", "teddy bear", "marble run", "building blocks", "spinning top", "board game", "doll house", "yo-yo"}},
	{"Clothes", []string{"scarf", "wool hat", "denim jacket", "linen shirt", "sneakers", "leather belt", "raincoat", "cardigan", "socks", "sun hat"}},
}

// finishes distinguish the items of a topic.
var finishes = []string{
	"Blue", "Green", "Red", "Black", "White", "Yellow", "Grey", "Copper", "Walnut", "Ivory",
	"Slate", "Olive", "Coral", "Amber", "Indigo", "Sand", "Mint", "Plum", "Rust", "Silver",
	"Striped", "Dotted", "Vintage", "Classic", "Compact", "Large", "Light", "Sturdy", "Plain", "Handmade",
}

const (
	topics   = 100
	perTopic = 30
)

// describe returns the item with an index and a number for its id. Indexes of the same topic
// are equal modulo topics.
func describe(index, number int) Item {
	department := departments[index%topics%len(departments)]
	kind := department.kinds[index%topics/len(departments)]
	return Item{
		ID: fmt.Sprintf("item-%04d", number), Title: finishes[index/topics] + " " + kind, Department: department.name,
	}
}

// WriteTitles writes the titles and departments of items to Redis, where the web page reads
// them.
func WriteTitles(ctx context.Context, rdb redis.Cmdable, prefix string, items []Item) error {
	keys := userstate.Keys{Prefix: prefix}
	_, err := rdb.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, item := range items {
			pipe.HSet(ctx, keys.Titles(), item.ID, item.Title)
			pipe.HSet(ctx, keys.Categories(), item.ID, item.Department)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the titles of %d items: %w", len(items), err)
	}
	return nil
}
