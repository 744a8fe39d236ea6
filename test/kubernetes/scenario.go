package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const chart = "deploy/helm/genrec"

type counts struct {
	installs, upgrades, objects, admitted, refused int
}

// scenario installs, changes and uninstalls the chart.
type scenario struct {
	*environment
	counts counts
	r      release  // the installed release
	before []string // resources in the namespace before the installation
}

// execute tests the chart with the values in its ci folder, the training job, and docs/DEPLOY.md.
func (s *scenario) execute(ctx context.Context, p pages) error {
	for _, name := range []string{"least", "most"} {
		if err := s.testValues(ctx, name); err != nil {
			return fmt.Errorf("with %s: %w", valuesOf(name), err)
		}
	}
	if err := s.train(ctx, p.job); err != nil {
		return fmt.Errorf("docs/TRAINING.md: %w", err)
	}
	return s.followPage(ctx, p)
}

func valuesOf(name string) string { return chart + "/ci/" + name + "-values.yaml" }

// testValues tests a values file of the chart, in a namespace with the resources that it references.
func (s *scenario) testValues(ctx context.Context, name string) error {
	if _, err := s.run(ctx, "kubectl create -f "+s.fixtures(name)); err != nil {
		return err
	}
	flags := "shop " + chart + " --namespace " + name + " --values " + valuesOf(name)
	if err := s.helmInstall(ctx, "helm install "+flags, tagOf(name)); err != nil {
		return err
	}
	if name == "least" {
		if err := s.scaleByHand(ctx, "helm upgrade "+flags); err != nil {
			return err
		}
	}
	if err := s.helmUninstall(ctx, "helm uninstall shop --namespace "+name); err != nil {
		return err
	}
	_, err := s.run(ctx, "kubectl delete -f "+s.fixtures(name))
	return err
}

// tagOf returns the image tag that results from a values file of the chart.
func tagOf(name string) string {
	return map[string]string{"least": "latest", "most": "1.0"}[name]
}

// scaleByHand runs kubectl scale, after which an upgrade needs --force-conflicts, and then enables
// autoscaling.
func (s *scenario) scaleByHand(ctx context.Context, upgrade string) error {
	if _, err := s.run(ctx, "kubectl --namespace "+s.r.namespace+" scale deployment "+s.r.resource("serve")+" --replicas 3"); err != nil {
		return err
	}
	if _, err := s.run(ctx, upgrade); err == nil {
		return errors.New("an upgrade after kubectl scale succeeded: docs/DEPLOY.md says that it fails with a conflict")
	} else if !strings.Contains(err.Error(), "conflict") {
		return err
	}
	for _, flags := range []string{" --force-conflicts", " --set serve.autoscaling.enabled=true"} {
		s.counts.upgrades++
		if err := s.helmUpgrade(ctx, upgrade+flags, s.r.tag); err != nil {
			return err
		}
	}
	return nil
}

// train runs the distributed training job of docs/TRAINING.md.
func (s *scenario) train(ctx context.Context, job string) error {
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
			return fmt.Errorf("no service selects %s: the other pods cannot find it", p)
		}
	}
	return s.countPods(ctx)
}

// followPage runs the lines of docs/DEPLOY.md in a cluster without prepared resources.
func (s *scenario) followPage(ctx context.Context, p pages) error {
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
		if err := s.runLine(ctx, line, p); err != nil {
			return fmt.Errorf("docs/DEPLOY.md: %w", err)
		}
	}
	if s.counts.upgrades == 0 {
		return errors.New("docs/DEPLOY.md has no upgrade")
	}
	return nil
}

// runLine runs a line of docs/DEPLOY.md and checks its effect.
func (s *scenario) runLine(ctx context.Context, line string, p pages) error {
	switch words := strings.Fields(line); words[0] + " " + words[1] {
	case "helm install":
		if err := s.helmInstall(ctx, line, "1.0"); err != nil {
			return err
		}
		return s.endTrainingJobs(ctx)
	case "helm upgrade":
		if err := s.write("values.yaml", strings.Replace(p.values, `tag: "1.0"`, `tag: "1.1"`, 1)); err != nil {
			return err
		}
		s.counts.upgrades++
		return s.helmUpgrade(ctx, line, "1.1")
	case "helm rollback":
		return s.helmUpgrade(ctx, line, "1.0")
	case "helm uninstall":
		return s.helmUninstall(ctx, line)
	default:
		if words[0] != "kubectl" {
			return fmt.Errorf("this test does not support the line %q", line)
		}
		_, err := s.run(ctx, line)
		return err
	}
}
