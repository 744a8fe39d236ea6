package main

import (
	"slices"
	"strings"
)

// objects are Kubernetes objects.
type objects []object

// object has the fields that the test checks.
type object struct {
	Kind     string
	Metadata struct {
		Name   string
		Labels map[string]string
	}
	Data      map[string]string // of a Secret
	Endpoints []struct {        // of an EndpointSlice
		Conditions struct{ Ready bool }
	}
	Ports []struct{ Port int }
	Spec  struct {
		pod                                                  // of a pod
		Replicas        int                                  // of a Deployment
		Selector        map[string]any                       // of a Service
		PodSelector     struct{ MatchLabels map[string]any } // of a NetworkPolicy
		ScaleTargetRef  struct{ Name string }                // of an autoscaler
		MinReplicas     int
		Triggers        []struct{ AuthenticationRef struct{ Name string } }
		SecretTargetRef []secretKey // of a TriggerAuthentication
	}
	Status struct {
		Phase              string
		Conditions         []condition
		DisruptionsAllowed int // of a PodDisruptionBudget
		ExpectedPods       int
		Failed             int // pods of a Job
	}
	Reason, Message string // of an Event
}

type condition struct{ Type, Status, Reason, Message string }

type secretKey struct{ Name, Key string }

type pod struct {
	NodeName         string
	ImagePullSecrets []struct{ Name string }
	Containers       []struct {
		Name, Image string
		Env         []struct {
			ValueFrom struct{ SecretKeyRef secretKey }
		}
	}
	Volumes []struct {
		Name                  string
		PersistentVolumeClaim struct{ ClaimName string }
		Projected             struct {
			Sources []struct {
				Secret struct {
					Name  string
					Items []struct{ Key string }
				}
				ServiceAccountToken map[string]any
			}
		}
	}
}

// secrets returns the keys of Secrets that the pod requires.
func (p pod) secrets() (keys []secretKey) {
	for _, s := range p.ImagePullSecrets {
		keys = append(keys, secretKey{s.Name, ".dockerconfigjson"})
	}
	for _, c := range p.Containers {
		for _, e := range c.Env {
			if ref := e.ValueFrom.SecretKeyRef; ref.Name != "" {
				keys = append(keys, ref)
			}
		}
	}
	for _, v := range p.Volumes {
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				keys = append(keys, secretKey{s.Secret.Name, item.Key})
			}
		}
	}
	return keys
}

func (o object) String() string { return strings.ToLower(o.Kind) + "/" + o.Metadata.Name }

// isTrue reports whether a condition of the object is true.
func (o object) isTrue(condition string) bool {
	return o.condition(condition).Status == "True"
}

func (o object) condition(name string) (c condition) {
	for _, c := range o.Status.Conditions {
		if c.Type == name {
			return c
		}
	}
	return c
}

// of returns the objects of a kind.
func (os objects) of(kind string) objects {
	return slices.DeleteFunc(slices.Clone(os), func(o object) bool { return o.Kind != kind })
}

// with returns the objects with a label.
func (os objects) with(label, value string) objects {
	return slices.DeleteFunc(slices.Clone(os), func(o object) bool { return o.Metadata.Labels[label] != value })
}

// named finds an object by kind and name.
func (os objects) named(kind, name string) (object, bool) {
	for _, o := range os {
		if o.Kind == kind && o.Metadata.Name == name {
			return o, true
		}
	}
	return object{}, false
}
