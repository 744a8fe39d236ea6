package serve

import (
	"context"
	"net/http"

	"genrec/pkg/event"
	"genrec/pkg/recs"
)

func (s *Server) recommendUser(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if err := event.CheckID("user_id", id); err != nil {
		Refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		Refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	if answers, ok := s.read(w, r, []string{id}, query); ok {
		Answer(w, http.StatusOK, answers[0])
	}
}

func (s *Server) recommendUsers(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	users, query, err := parseBatch(body)
	if err != nil {
		Refuse(w, http.StatusBadRequest, "%v", err)
		return
	}
	if answers, ok := s.read(w, r, users, query); ok {
		Answer(w, http.StatusOK, map[string][]recs.Answer{"recommendations": answers})
	}
}

func (s *Server) read(w http.ResponseWriter, r *http.Request, users []string, q recs.Query) ([]recs.Answer, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), readTime)
	defer cancel()
	answers, err := s.reader.Read(ctx, users, q)
	if err != nil {
		s.unavailable(ctx, w, "the recommendations cannot be read", err)
		return nil, false
	}
	s.metrics.answered(answers)
	return answers, true
}
