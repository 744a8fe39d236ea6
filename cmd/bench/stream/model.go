package stream

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"genrec/pkg/registry"
	"genrec/retrain"
	"genrec/test/harness"
)

// trainingFlags train the default shape for a few steps: speed does not depend on the quality of the weights.
// The ensemble weights of the recipe are kept, so that every component is used.
var trainingFlags = []string{
	"--recipe", "default", "--set", "choose_weights=false",
	"--set", "pretrain_epochs=1", "--set", "finetune_epochs=1", "--set", "least_steps=0",
	"--max-steps", "250", "--evaluate-users", "200",
}

// refusedByGate is the exit code of retrain when the gate refuses the version, which may happen after a few
// steps.
const refusedByGate = 3

// servedModel is the version that infer serves.
type servedModel struct {
	registry string // folder
	version  string
	folder   string // of the version
	weights  ensembleWeights
}

// ensembleWeights has the weights of the score components. The remainder is the weight of beam search.
type ensembleWeights struct {
	Dense       float64 `json:"genrec_dense_weight"`
	Sequential  float64 `json:"genrec_sequential_weight"`
	Association float64 `json:"genrec_association_weight"`
}

func (m ensembleWeights) String() string {
	return fmt.Sprintf("dense %.2f, sequential %.2f, association %.2f, beam search %.2f",
		m.Dense, m.Sequential, m.Association, 1-m.Dense-m.Sequential-m.Association)
}

// prepareModel opens the registry of -models, or that of the cached model, which it trains if needed.
func prepareModel(ctx context.Context, s settings) (servedModel, error) {
	folder := s.models
	if folder == "" {
		var err error
		if folder, err = cachedModel(ctx, s); err != nil {
			return servedModel{}, err
		}
	}
	m, err := openModel(ctx, folder)
	if err != nil {
		return m, fmt.Errorf("open the model in %s: %w", folder, err)
	}
	fmt.Printf("model: %s of %s; ensemble weights: %v\n", m.version, m.registry, m.weights)
	return m, nil
}

func openModel(ctx context.Context, folder string) (m servedModel, err error) {
	m.registry = folder
	if _, err := os.Stat(folder); err != nil {
		return m, err
	}
	r, err := registry.Connect(ctx, folder, "")
	if err != nil {
		return m, err
	}
	if m.version, err = r.Current(ctx); err != nil {
		return m, err
	}
	if m.folder, err = r.Fetch(ctx, m.version); err != nil {
		return m, err
	}
	config, err := os.ReadFile(filepath.Join(m.folder, "config.json"))
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(config, &m.weights)
}

// cachedModel returns the registry of a model trained on -data with trainingFlags.
func cachedModel(ctx context.Context, s settings) (string, error) {
	cache, err := cacheFolder()
	if err != nil {
		return "", err
	}
	key, err := modelKey(s)
	if err != nil {
		return "", err
	}
	target := filepath.Join(cache, "bench-stream", key)
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(filepath.Dir(target), "training-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	fmt.Printf("training a small model on %s to %s, once\n", s.data, target)
	args := append([]string{"retrain", "--data", s.data, "--ids", s.ids, "--models", work, "--device", "auto"}, trainingFlags...)
	err = runProgram(ctx, s.genrec, args...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == refusedByGate && ctx.Err() == nil {
		err = serveRefused(ctx, work)
	}
	if err != nil {
		return "", fmt.Errorf("train a model for the benchmark: %w", err)
	}
	if err := os.Rename(work, target); err != nil {
		if _, found := os.Stat(target); found == nil { // by a concurrent run
			return target, nil
		}
		return "", err
	}
	return target, nil
}

// serveRefused makes the only version of a registry the current one.
func serveRefused(ctx context.Context, folder string) error {
	r, err := registry.Connect(ctx, folder, "")
	if err != nil {
		return err
	}
	versions, err := r.Versions(ctx)
	if err != nil || len(versions) != 1 {
		return errors.Join(err, fmt.Errorf("%d versions in %s, want 1", len(versions), folder))
	}
	return r.PromoteShares(ctx, []registry.Share{{Version: versions[0], Percent: 100}})
}

// modelKey returns a hash of everything that the model depends on.
func modelKey(s settings) (string, error) {
	data, err := os.Open(s.data)
	if err != nil {
		return "", fmt.Errorf("-data: %w", err)
	}
	defer data.Close()
	hash := sha256.New()
	recipe, err := retrain.LoadRecipe(retrain.DefaultRecipe)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(hash, "%s %v %+v\n", s.ids, trainingFlags, recipe)
	if _, err := io.Copy(hash, data); err != nil {
		return "", fmt.Errorf("-data: read %s: %w", s.data, err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:6]), nil
}

func cacheFolder() (string, error) {
	if folder := os.Getenv("GENREC_CACHE"); folder != "" {
		return filepath.Abs(folder)
	}
	folder, err := os.UserCacheDir()
	return filepath.Join(folder, "genrec"), err
}

// runProgram runs a program until it or the context ends; its output goes to stderr.
func runProgram(ctx context.Context, program string, args ...string) error {
	c, err := harness.Start(os.Stderr, untilDone{ctx, os.Stderr}, program, args...)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = c.Stop() })()
	err = c.Wait()
	return errors.Join(ctx.Err(), err)
}
