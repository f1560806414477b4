"""The two pipelines: questions to cited answers, notes to cited labels."""
