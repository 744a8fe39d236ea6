package retrain

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"genrec/model"
	"genrec/model/catalog"
	"genrec/model/tokens"
)

// renamed returns a ring in which rename gives the ids of items 0 to 29.
func renamed(users int, rename func(n int) string) []catalog.Sequence {
	all := ring(users)
	for u, s := range all {
		for i := range s.Items {
			s.Items[i] = rename((u + i) % 30)
		}
		all[u] = s
	}
	return all
}

// quickest returns the shortest training of a recipe.
func quickest(t *testing.T, name string, changes ...string) Config {
	t.Helper()
	c := quick()
	recipe, err := LoadRecipe(name, append(changes, "pretrain_epochs=1", "finetune_epochs=1", "batch_size=64")...)
	if err != nil {
		t.Fatal(err)
	}
	c.Recipe = recipe
	return c
}

// TestTrainsOnAnyID checks that every recipe trains on every valid item id.
func TestTrainsOnAnyID(t *testing.T) {
	numbered := func(prefix string) func(int) string {
		return func(n int) string { return prefix + string(rune('A'+n/10)) + string(rune('0'+n%10)) }
	}
	digits := func(n int) string { return "4" + string(rune('0'+n/10)) + string(rune('0'+n%10)) }
	for _, c := range []struct {
		name   string
		rename func(int) string
		text   catalog.TextFormat // of the recipe paper; empty: its own
	}{
		{"numbers", digits, ""},
		{"ASINs", numbered("B0000"), catalog.Numbered},
		{"UUIDs", numbered("6f9619ff-8b86-d011-b42d-00c04fc964"), catalog.Numbered},
		{"punctuation", numbered(`a/b_c "d" <s> %'\`), catalog.Numbered},
		{"other scripts", numbered("商品-éß-🛒-٣"), catalog.Numbered},
		{"zeros in front", func(n int) string { return strings.Repeat("0", n/10) + strconv.Itoa(1+n%10) }, catalog.Numbered},
		{"numbers of 43 digits", func(n int) string { return strings.Repeat("7", 40) + digits(n) }, ""},
		{"one that is no number", func(n int) string { return map[bool]string{true: "gift-card", false: digits(n)}[n == 17] }, catalog.Numbered},
	} {
		t.Run(c.name, func(t *testing.T) {
			sequences := renamed(90, c.rename)
			report, err := Run(t.Context(), quickest(t, "paper"), sequences, openRegistry(t))
			if err != nil || report.ItemText != c.text || report.LeaveOneOut.Users != 90 {
				t.Errorf("recipe paper: item text %q of %d users (%v), want %q", report.ItemText, report.LeaveOneOut.Users, err, c.text)
			}
			literal := quickest(t, "bart")
			literal.Pretrained = bartFolder(t)
			if report, err = Run(t.Context(), literal, sequences, openRegistry(t)); err != nil {
				t.Errorf("recipe bart: %v", err)
			}
		})
	}
}

// TestLongIDsFit checks that ids that exceed the positions of the encoder or the decoder are written as
// numbers.
func TestLongIDsFit(t *testing.T) {
	sequences := renamed(90, func(n int) string { return strings.Repeat("7", 200) + string(rune('0'+n/10)) + string(rune('0'+n%10)) })
	paper := quickest(t, "paper", "model.max_position_embeddings=64")
	literal := quickest(t, "bart")
	literal.Pretrained = bartFolder(t)
	for _, c := range []Config{paper, literal} {
		report, err := Run(t.Context(), c, sequences, openRegistry(t))
		if err != nil || report.ItemText != catalog.Numbered {
			t.Errorf("item text %s is written %q (%v), want %q", c.Text, report.ItemText, err, catalog.Numbered)
		}
	}
}

func TestPreflight(t *testing.T) {
	for _, name := range Recipes() {
		if err := quickest(t, name).Preflight(); err != nil {
			t.Errorf("recipe %s: %v", name, err)
		}
	}
	with := func(change func(dir string)) func(*Config) {
		return func(c *Config) {
			c.Pretrained = bartFolder(t)
			change(c.Pretrained)
		}
	}
	remove := func(name string) func(string) {
		return func(dir string) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no room for an item", func(c *Config) { c.Model.MaxPositions = 8 }, "do not fit into the model's 8"},
		{"a negative bound", func(c *Config) { c.EvaluateUsers = -1 }, "users to evaluate: -1 is negative"},
		{"no folder", func(c *Config) { c.Pretrained = "nowhere" }, "nowhere"},
		{"whole", with(func(string) {}), ""},
		{"without a shape", with(remove(model.ConfigFile)), model.ConfigFile},
		{"without a vocabulary", with(remove(tokens.VocabularyFile)), tokens.VocabularyFile},
		{"without weights", with(remove(model.WeightsFile)), model.WeightsFile},
		{"half of the weights", with(func(dir string) {
			if err := os.Truncate(filepath.Join(dir, model.WeightsFile), 20_000); err != nil {
				t.Fatal(err)
			}
		}), model.WeightsFile},
	} {
		config := quickest(t, "paper")
		c.change(&config)
		err := config.Preflight()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
