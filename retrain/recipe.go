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

// Recipe configures a model and its training, independently of the data.
type Recipe struct {
	// Text is the format in which the model reads and writes ids.
	Text catalog.TextFormat `json:"item_text"`
	// Model is the shape; the run fills in the sizes of vocabulary and ID embeddings. A pretrained
	// BART has its own.
	Model model.Config `json:"model"`

	// PretrainEpochs and FinetuneEpochs are passes over the users; each predicts one item per history.
	// With EveryPrefix, a finetuning epoch predicts every item of every history.
	EveryPrefix    bool `json:"every_prefix,omitempty"`
	PretrainEpochs int  `json:"pretrain_epochs"`
	FinetuneEpochs int  `json:"finetune_epochs"`
	// MinSteps is the minimum number of finetuning steps: small datasets get more epochs.
	MinSteps     int     `json:"least_steps,omitempty"`
	BatchSize    int     `json:"batch_size"`
	LearningRate float64 `json:"learning_rate"`
	WeightDecay  float64 `json:"weight_decay"`
	// BFloat16 computes matrix products in bfloat16, which is worthwhile for large models.
	BFloat16 bool `json:"bfloat16,omitempty"`
	// StartFromUse initializes item ID embeddings from the co-occurrence embeddings from which codes are
	// learned. It needs item_text codes.
	StartFromUse bool `json:"start_from_use,omitempty"`
	// DenseLoss is the weight, relative to the loss of the generated text, of the cross-entropy over all items
	// by their embeddings: of the dense head, or of the search's last step if items are its leaves.
	DenseLoss float64 `json:"dense_loss,omitempty"`
	// SoftmaxItems bounds the items of a training step: in catalogs of more than twice as many, a step trains
	// the items of its batch and a sample of the others, so that its cost does not grow with the catalog. It
	// is raised to the number of items that a batch can have. 0 trains all items in each step.
	SoftmaxItems int `json:"softmax_items,omitempty"`
	// ChooseWeights tunes the ensemble weights on the best epoch: the grid point nearest to the mean of
	// those with the best NDCG@10 in resamples of the validation's users. Components with weight zero in
	// Model are left out of the grid.
	ChooseWeights bool `json:"choose_weights,omitempty"`
	// HiddenItems is the share of examples without item ID embeddings, from which the model learns to
	// read the text.
	HiddenItems float64 `json:"hidden_items,omitempty"`
	// UnknownUser is the share of examples whose user is hidden: they prepare the model for new users and
	// keep it from memorizing known ones. With 1 there are no user embeddings.
	UnknownUser float64 `json:"unknown_user"`

	// ValidationUsers limits the users whose last item but one is held out to select the epoch with the
	// best NDCG@10: at most a tenth of all users, or one per hundred interactions if that is more. With 0
	// the last epoch is the model.
	ValidationUsers int `json:"validation_users"`
	// Patience is the number of epochs without a better validation after which finetuning stops.
	Patience int `json:"patience"`

	// WarmStart configures trainings that start from the current version.
	WarmStart WarmStartRecipe `json:"warm_start"`
}

// WarmStartRecipe configures a training that starts from an earlier version's weights.
type WarmStartRecipe struct {
	// Share is the share of the finetuning epochs; there is no pretraining. With 0 every training
	// starts from scratch. LearningRate is the peak.
	Share        float64 `json:"share"`
	LearningRate float64 `json:"learning_rate"`
	// Smoothing moves each item's ID embedding towards the mean of its most similar items before the
	// training: 0 not at all, 1 all the way. It needs item_text codes.
	Smoothing float64 `json:"smoothing"`
}

// DefaultRecipe is the name of the default recipe.
const DefaultRecipe = "default"

//go:embed recipes/*.json
var recipes embed.FS

// Recipes returns the names of the built-in recipes.
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

// LoadRecipe reads a built-in recipe by name, or a JSON file. Changes of the form `field=value` or
// `model.field=value` override single settings; values are JSON, or else strings.
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

// softmaxItems is SoftmaxItems, enough for the items of any batch.
func (r Recipe) softmaxItems() int {
	if r.SoftmaxItems == 0 {
		return 0
	}
	return max(r.SoftmaxItems, r.BatchSize*r.Model.MaxTokens())
}

// Validate reports every invalid setting.
func (r Recipe) Validate() error {
	var errs []error
	reject := func(bad bool, format string, value any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, value))
		}
	}
	reject(!r.Text.Valid(), "item_text: %q is none of codes, walk, literal and padded", r.Text)
	reject(r.PretrainEpochs < 0, "pretrain_epochs: %v is negative", r.PretrainEpochs)
	reject(r.FinetuneEpochs < 0, "finetune_epochs: %v is negative", r.FinetuneEpochs)
	reject(r.MinSteps < 0, "least_steps: %v is negative", r.MinSteps)
	reject(r.BatchSize < 1, "batch_size: %v is not positive", r.BatchSize)
	reject(!(r.LearningRate > 0), "learning_rate: %v is not positive", r.LearningRate)
	reject(!(r.WeightDecay >= 0), "weight_decay: %v is negative", r.WeightDecay)
	reject(!(r.UnknownUser >= 0 && r.UnknownUser <= 1), "unknown_user: %v is not in [0, 1]", r.UnknownUser)
	reject(!(r.DenseLoss >= 0), "dense_loss: %v is negative", r.DenseLoss)
	reject(r.SoftmaxItems < 0, "softmax_items: %v is negative", r.SoftmaxItems)
	reject(r.Model.ItemLeaves && !(r.DenseLoss > 0), "dense_loss: is %v, must be positive with genrec_item_leaves, whose search learns the embeddings of items by it", r.DenseLoss)
	reject(r.Model.ItemLeaves && r.Text != catalog.Codes, "item_text: is %v, must be codes with genrec_item_leaves", r.Text)
	reject(!(r.HiddenItems >= 0 && r.HiddenItems <= 1), "hidden_items: %v is not in [0, 1]", r.HiddenItems)
	reject(r.ValidationUsers < 0, "validation_users: %v is negative", r.ValidationUsers)
	reject(r.Patience < 1, "patience: %v is not positive", r.Patience)
	if r.StartFromUse && r.Text != catalog.Codes {
		errs = append(errs, fmt.Errorf("start_from_use: requires item_text codes, not %s", r.Text))
	}
	reject(!(r.WarmStart.Share >= 0 && r.WarmStart.Share <= 1), "warm_start.share: %v is not in [0, 1]", r.WarmStart.Share)
	reject(r.WarmStart.Share > 0 && !(r.WarmStart.LearningRate > 0), "warm_start.learning_rate: %v is not positive", r.WarmStart.LearningRate)
	reject(!(r.WarmStart.Smoothing >= 0 && r.WarmStart.Smoothing <= 1), "warm_start.smoothing: %v is not in [0, 1]", r.WarmStart.Smoothing)
	shape := r.Model
	shape.Vocabulary, shape.Users, shape.Items = 1, 0, 0 // filled in by the run
	return errors.Join(append(errs, shape.Validate())...)
}
