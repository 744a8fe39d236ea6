package retrain

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"genrec/model"
	"genrec/model/catalog"
)

// Recipe is what makes one kind of model out of any dataset.
type Recipe struct {
	// Text is what the model reads and writes of an id.
	Text catalog.TextFormat `json:"item_text"`
	// Model is the shape; the run fills in the sizes of vocabulary and ID tables. A
	// pretrained BART brings its own.
	Model model.Config `json:"model"`

	// PretrainEpochs and FinetuneEpochs are passes over the users; each pass asks
	// for another item of every history. With EveryPrefix, a pass of the finetuning
	// asks for every item of every history.
	EveryPrefix    bool `json:"every_prefix,omitempty"`
	PretrainEpochs int  `json:"pretrain_epochs"`
	FinetuneEpochs int  `json:"finetune_epochs"`
	// LeastSteps is how many optimizer steps the finetuning has at least: on little data
	// it goes on for more epochs.
	LeastSteps   int     `json:"least_steps,omitempty"`
	BatchSize    int     `json:"batch_size"`
	LearningRate float64 `json:"learning_rate"`
	WeightDecay  float64 `json:"weight_decay"`
	// BFloat16 computes matrix products in bfloat16, which pays for large models.
	BFloat16 bool `json:"bfloat16,omitempty"`
	// StartFromUse starts the ID embeddings of items from the directions that their codes
	// were learned from, so that items used together begin close to each other.
	StartFromUse bool `json:"start_from_use,omitempty"`
	// DenseLoss is the weight of the dense head's loss beside that of the text.
	DenseLoss float64 `json:"dense_loss,omitempty"`
	// ChooseWeights tries weights of the parts on the best epoch and keeps those nearest to
	// the mean of those with the best NDCG@10 in resamples of the validation's users; until
	// then they are the model's. A part that has no weight there gets none; rules are learned
	// where they have one.
	ChooseWeights bool `json:"choose_weights,omitempty"`
	// HiddenItems is the share of examples without the ID embeddings of items, in which
	// there is but the text to learn from.
	HiddenItems float64 `json:"hidden_items,omitempty"`
	// UnknownUser is the share of examples whose user is hidden. The model needs
	// them for users who come after the training, and they keep it from learning
	// users by heart. With 1 it has no table of users at all.
	UnknownUser float64 `json:"unknown_user"`

	// ValidationUsers bounds the users whose last item but one is kept from the
	// training to find the best epoch, by NDCG@10. At most one user in ten is taken, or
	// as many as there are hundreds of interactions: few users with long histories can
	// spare an item each. With 0 the last epoch is the model.
	ValidationUsers int `json:"validation_users"`
	// Patience is how many epochs without a better validation end the finetuning.
	Patience int `json:"patience"`

	WarmStart WarmStartRecipe `json:"warm_start"`
}

// WarmStartRecipe is how to go on from an earlier version, on data of which most is known.
type WarmStartRecipe struct {
	// Share is that of the finetuning's epochs that it takes, without any pretraining. With
	// 0 every training begins from scratch.
	Share        float64 `json:"share"`
	LearningRate float64 `json:"learning_rate"`
	// Smoothing is how far each item's ID embedding first moves to the middle of those that
	// the item is used most like: all the way with 1. The text codes alone tells which they are.
	Smoothing float64 `json:"smoothing"`
}

// DefaultRecipe is the name of the recipe that runs unless another one is asked for.
const DefaultRecipe = "default"

//go:embed recipes/*.json
var recipes embed.FS

// Recipes lists the names of the recipes that come with the program.
func Recipes() []string {
	entries, err := recipes.ReadDir("recipes")
	if err != nil {
		panic(err) // embedded: cannot fail
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".json"))
	}
	return names
}

// LoadRecipe reads a recipe by its name, or from a JSON file. Changes of the form
// `field=value` or `model.field=value` replace single settings, values being JSON or
// else strings.
func LoadRecipe(nameOrFile string, changes ...string) (Recipe, error) {
	var r Recipe
	data, err := readRecipe(nameOrFile)
	if err != nil {
		return r, err
	}
	if len(changes) > 0 {
		if data, err = changed(data, changes); err != nil {
			return r, fmt.Errorf("change recipe %s: %w", nameOrFile, err)
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, fmt.Errorf("decode recipe %s: %w", nameOrFile, err)
	}
	if err := r.Validate(); err != nil {
		return r, fmt.Errorf("recipe %s: %w", nameOrFile, err)
	}
	return r, nil
}

func readRecipe(nameOrFile string) ([]byte, error) {
	if slices.Contains(Recipes(), nameOrFile) {
		return recipes.ReadFile(path.Join("recipes", nameOrFile+".json"))
	}
	data, err := os.ReadFile(nameOrFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("recipe %q is neither a file nor one of %s", nameOrFile, strings.Join(Recipes(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("read recipe: %w", err)
	}
	return data, nil
}

func changed(data []byte, changes []string) ([]byte, error) {
	settings := make(map[string]any)
	if err := json.Unmarshal(data, &settings); err != nil {
		return nil, err
	}
	for _, change := range changes {
		name, text, found := strings.Cut(change, "=")
		if !found {
			return nil, fmt.Errorf("%q is not of the form field=value", change)
		}
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			value = text
		}
		in := settings
		if part, field, inside := strings.Cut(name, "."); inside {
			name = field
			in, found = settings[part].(map[string]any)
			if !found {
				return nil, fmt.Errorf("%q: the recipe has no %s", change, part)
			}
		}
		in[name] = value
	}
	return json.Marshal(settings)
}

// Validate names every setting that cannot be used.
func (r Recipe) Validate() error {
	var errs []error
	refuse := func(bad bool, format string, value any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, value))
		}
	}
	refuse(!r.Text.Valid(), "item_text: %q is none of codes, walk, literal and padded", r.Text)
	refuse(r.PretrainEpochs < 0, "pretrain_epochs: %v is negative", r.PretrainEpochs)
	refuse(r.FinetuneEpochs < 0, "finetune_epochs: %v is negative", r.FinetuneEpochs)
	refuse(r.LeastSteps < 0, "least_steps: %v is negative", r.LeastSteps)
	refuse(r.BatchSize < 1, "batch_size: %v is not positive", r.BatchSize)
	refuse(!(r.LearningRate > 0), "learning_rate: %v is not positive", r.LearningRate)
	refuse(!(r.WeightDecay >= 0), "weight_decay: %v is negative", r.WeightDecay)
	refuse(!(r.UnknownUser >= 0 && r.UnknownUser <= 1), "unknown_user: %v is not in [0, 1]", r.UnknownUser)
	refuse(!(r.DenseLoss >= 0), "dense_loss: %v is negative", r.DenseLoss)
	refuse(!(r.HiddenItems >= 0 && r.HiddenItems <= 1), "hidden_items: %v is not in [0, 1]", r.HiddenItems)
	refuse(r.ValidationUsers < 0, "validation_users: %v is negative", r.ValidationUsers)
	refuse(r.Patience < 1, "patience: %v is not positive", r.Patience)
	if r.StartFromUse && r.Text != catalog.Codes {
		errs = append(errs, fmt.Errorf("start_from_use: only item_text codes learns directions, not %s", r.Text))
	}
	refuse(!(r.WarmStart.Share >= 0 && r.WarmStart.Share <= 1), "warm_start.share: %v is not in [0, 1]", r.WarmStart.Share)
	refuse(r.WarmStart.Share > 0 && !(r.WarmStart.LearningRate > 0), "warm_start.learning_rate: %v is not positive", r.WarmStart.LearningRate)
	refuse(!(r.WarmStart.Smoothing >= 0 && r.WarmStart.Smoothing <= 1), "warm_start.smoothing: %v is not in [0, 1]", r.WarmStart.Smoothing)
	shape := r.Model
	shape.Vocabulary, shape.Users, shape.Items = 1, 0, 0 // filled in by the run
	return errors.Join(append(errs, shape.Validate())...)
}
