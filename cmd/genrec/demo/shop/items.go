package shop

import "fmt"

// Item is one of the shop's. The recommender sees its id alone; the rest is for people.
type Item struct{ ID, Title, Department string }

// departments have a topic for each kind of thing that they sell.
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

// finishes tell the items of a topic apart.
var finishes = []string{
	"Blue", "Green", "Red", "Black", "White", "Yellow", "Grey", "Copper", "Walnut", "Ivory",
	"Slate", "Olive", "Coral", "Amber", "Indigo", "Sand", "Mint", "Plum", "Rust", "Silver",
	"Striped", "Dotted", "Vintage", "Classic", "Compact", "Large", "Light", "Sturdy", "Plain", "Handmade",
}

const (
	topics   = 100
	perTopic = 30
)

// describe makes the item of a place: those of a topic stand topics places apart.
func describe(place, name int) Item {
	department := departments[place%topics%len(departments)]
	kind := department.kinds[place%topics/len(departments)]
	return Item{
		ID: fmt.Sprintf("item-%04d", name), Title: finishes[place/topics] + " " + kind, Department: department.name,
	}
}
