package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const chart = "deploy/helm/genrec"

type figures struct {
	installs, upgrades, objects, admitted, refused int
}

// story is what happens to the chart.
type story struct {
	*world
	figures figures
	r       release  // what there is now
	before  []string // what the namespace held before it
}

// tell installs the chart with the values beside it, and then as the page says.
func (s *story) tell(ctx context.Context, p pages) error {
	for _, name := range []string{"least", "most"} {
		if err := s.install(ctx, name); err != nil {
			return fmt.Errorf("with %s: %w", valuesOf(name), err)
		}
	}
	if err := s.train(ctx, p.job); err != nil {
		return fmt.Errorf("docs/TRAINING.md: %w", err)
	}
	return s.follow(ctx, p)
}

func valuesOf(name string) string { return chart + "/ci/" + name + "-values.yaml" }

// install tries the values beside the chart, in a cluster that has what they name.
func (s *story) install(ctx context.Context, name string) error {
	if _, err := s.run(ctx, "kubectl create -f "+s.fixtures(name)); err != nil {
		return err
	}
	flags := "shop " + chart + " --namespace " + name + " --values " + valuesOf(name)
	if err := s.installed(ctx, "helm install "+flags, tagOf(name)); err != nil {
		return err
	}
	if name == "least" {
		if err := s.scaleByHand(ctx, "helm upgrade "+flags); err != nil {
			return err
		}
	}
	if err := s.uninstalled(ctx, "helm uninstall shop --namespace "+name); err != nil {
		return err
	}
	_, err := s.run(ctx, "kubectl delete -f "+s.fixtures(name))
	return err
}

// tagOf returns the image's tag that the values beside the chart lead to.
func tagOf(name string) string {
	return map[string]string{"least": "latest", "most": "1.0"}[name]
}

// scaleByHand changes the number of pods behind helm's back, for which an upgrade has to be told
// to have its own way, and then leaves it to an autoscaler.
func (s *story) scaleByHand(ctx context.Context, upgrade string) error {
	if _, err := s.run(ctx, "kubectl --namespace "+s.r.namespace+" scale deployment "+s.r.part("serve")+" --replicas 3"); err != nil {
		return err
	}
	if _, err := s.run(ctx, upgrade); err == nil {
		return errors.New("an upgrade after kubectl scale goes through: docs/DEPLOY.md says that it ends with a conflict")
	} else if !strings.Contains(err.Error(), "conflict") {
		return err
	}
	for _, flags := range []string{" --force-conflicts", " --set serve.autoscaling.enabled=true"} {
		s.figures.upgrades++
		if err := s.changed(ctx, upgrade+flags, s.r.tag); err != nil {
			return err
		}
	}
	return nil
}

// train runs docs/TRAINING.md's training in several pods.
func (s *story) train(ctx context.Context, job string) error {
	s.r = release{namespace: "training"}
	if err := s.write("training.yaml", job); err != nil {
		return err
	}
	if err := s.runAll(ctx, "kubectl create -f "+s.fixtures("training"),
		"kubectl --warnings-as-errors --namespace training create -f training.yaml",
		"kubectl --namespace training wait --for=condition=Complete --timeout=60s job --all"); err != nil {
		return err
	}
	all, err := s.get(ctx, "training", "pods,services")
	if err != nil {
		return err
	}
	for _, p := range all.of("Pod") {
		if !slices.ContainsFunc(all.of("Service"), func(o object) bool { return isSubset(o.Spec.Selector, p.Metadata.Labels) }) {
			return fmt.Errorf("%s is of no service, so that the others cannot find it", p)
		}
	}
	return s.count(ctx)
}

// follow does what the page says, line by line, in a cluster where nothing is prepared.
func (s *story) follow(ctx context.Context, p pages) error {
	files := map[string]string{
		"values.yaml": p.values, "ca.crt": "certificate\n",
		"kafka-password": "secret", "redis-password": "secret", "tokens": "0123456789abcdef\n",
	}
	for name, text := range files {
		if err := s.write(name, text); err != nil {
			return err
		}
	}
	for _, line := range p.lines {
		if err := s.do(ctx, line, p); err != nil {
			return fmt.Errorf("docs/DEPLOY.md: %w", err)
		}
	}
	if s.figures.upgrades == 0 {
		return errors.New("docs/DEPLOY.md upgrades nothing")
	}
	return nil
}

// do does what one line of the page says.
func (s *story) do(ctx context.Context, line string, p pages) error {
	switch words := strings.Fields(line); words[0] + " " + words[1] {
	case "helm install":
		if err := s.installed(ctx, line, "1.0"); err != nil {
			return err
		}
		return s.endTrainings(ctx)
	case "helm upgrade":
		if err := s.write("values.yaml", strings.Replace(p.values, `tag: "1.0"`, `tag: "1.1"`, 1)); err != nil {
			return err
		}
		s.figures.upgrades++
		return s.changed(ctx, line, "1.1")
	case "helm rollback":
		return s.changed(ctx, line, "1.0")
	case "helm uninstall":
		return s.uninstalled(ctx, line)
	default:
		if words[0] != "kubectl" {
			return fmt.Errorf("%q is a line that this test does not know: teach it", line)
		}
		_, err := s.run(ctx, line)
		return err
	}
}
