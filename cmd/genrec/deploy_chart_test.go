package main

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// resource is a Kubernetes resource, with the fields that docs/DEPLOY.md describes.
type resource struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		Template    podTemplate // of a Deployment
		JobTemplate struct {
			Spec struct{ Template podTemplate }
		}
		ConcurrencyPolicy string
		Selector          labelSelector
		PodSelector       labelSelector
		ScaleTargetRef    struct{ Name string }
		Triggers          []struct{ Type string }
	}
}

type labelSelector struct{ MatchLabels map[string]string }

// matches is true if the selector matches pods with these labels.
func (s labelSelector) matches(labels map[string]string) bool {
	for name, value := range s.MatchLabels {
		if labels[name] != value {
			return false
		}
	}
	return true
}

type podTemplate struct {
	Metadata struct{ Labels map[string]string }
	Spec     struct {
		AutomountServiceAccountToken *bool
		SecurityContext              struct {
			RunAsNonRoot   bool
			SeccompProfile struct{ Type string }
		}
		Containers []struct {
			Name            string
			SecurityContext struct {
				AllowPrivilegeEscalation *bool
				ReadOnlyRootFilesystem   bool
				Capabilities             struct{ Drop []string }
			}
			LivenessProbe, ReadinessProbe map[string]any
			Resources                     struct{ Limits map[string]any }
		}
	}
}

// The chart has the components, permissions, probes, disruption budgets, network policies and
// scaling that docs/DEPLOY.md describes, with the fewest and with all values.
func TestChartIsAsDocumented(t *testing.T) {
	folder := os.Getenv(manifestsVariable)
	if folder == "" {
		t.Skip("make check-deploy renders the manifests and sets " + manifestsVariable)
	}
	for _, name := range []string{"least", "most", "documented"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(folder, name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			var resources []resource
			if err := json.Unmarshal(text, &resources); err != nil {
				t.Fatal(err)
			}
			components := checkComponents(t, resources)
			if want := []string{"infer", "ingest", "prune", "retrain", "serve"}; !slices.Equal(components, want) {
				t.Errorf("the chart has the components %v, want %v", components, want)
			}
			if name == "most" {
				checkScaling(t, resources)
			}
		})
	}
}

// checkComponents checks the pods, and returns the names of their components.
func checkComponents(t *testing.T, resources []resource) (components []string) {
	t.Helper()
	for _, r := range resources {
		pod := r.Spec.Template
		switch r.Kind {
		case "CronJob":
			pod = r.Spec.JobTemplate.Spec.Template
			if r.Spec.ConcurrencyPolicy != "Forbid" {
				t.Errorf("two %s may run at once", r.Metadata.Name)
			}
		case "Deployment":
			if !slices.ContainsFunc(resources, func(b resource) bool {
				return b.Kind == "PodDisruptionBudget" && reflect.DeepEqual(b.Spec.Selector, r.Spec.Selector) && b.Spec.Selector.matches(pod.Metadata.Labels)
			}) {
				t.Errorf("%s has no disruption budget", r.Metadata.Name)
			}
		default:
			continue
		}
		components = append(components, r.Metadata.Name[strings.LastIndex(r.Metadata.Name, "-")+1:])
		if !slices.ContainsFunc(resources, func(p resource) bool {
			return p.Kind == "NetworkPolicy" && p.Spec.PodSelector.matches(pod.Metadata.Labels)
		}) {
			t.Errorf("everyone may connect to %s", r.Metadata.Name)
		}
		checkPod(t, r, pod)
	}
	slices.Sort(components)
	return components
}

// checkPod checks the permissions and the probes of a pod.
func checkPod(t *testing.T, r resource, pod podTemplate) {
	t.Helper()
	if s := pod.Spec.SecurityContext; !s.RunAsNonRoot || s.SeccompProfile.Type != "RuntimeDefault" {
		t.Errorf("%s may be root or call all of the kernel: %+v", r.Metadata.Name, s)
	}
	if token := pod.Spec.AutomountServiceAccountToken; token == nil || *token {
		t.Errorf("%s gets a token of the cluster", r.Metadata.Name)
	}
	if len(pod.Spec.Containers) == 0 {
		t.Errorf("%s has no containers", r.Metadata.Name)
	}
	for _, c := range pod.Spec.Containers {
		s := c.SecurityContext
		if s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || !s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) {
			t.Errorf("%s of %s has more permissions than it needs: %+v", c.Name, r.Metadata.Name, s)
		}
		if r.Kind == "Deployment" && (len(c.LivenessProbe) == 0 || len(c.ReadinessProbe) == 0) {
			t.Errorf("%s of %s lacks a probe", c.Name, r.Metadata.Name)
		}
	}
}

// checkScaling checks the autoscaler of each service, and the GPU of infer.
func checkScaling(t *testing.T, resources []resource) {
	t.Helper()
	scaled := make(map[string]string)
	for _, r := range resources {
		for _, by := range r.Spec.Triggers {
			scaled[r.Spec.ScaleTargetRef.Name] = by.Type
		}
		if r.Kind == "HorizontalPodAutoscaler" {
			scaled[r.Spec.ScaleTargetRef.Name] = "processors"
		}
		if r.Kind == "Deployment" && strings.HasSuffix(r.Metadata.Name, "-infer") && r.Spec.Template.Spec.Containers[0].Resources.Limits["nvidia.com/gpu"] == nil {
			t.Errorf("%s has no GPU", r.Metadata.Name)
		}
	}
	want := map[string]string{"shop-genrec-ingest": "kafka", "shop-genrec-infer": "kafka", "shop-genrec-serve": "processors"}
	if !maps.Equal(scaled, want) {
		t.Errorf("what is scaled is %v, want %v", scaled, want)
	}
}
