"""What ELMo and BERT share on the way from Docs to rows."""
