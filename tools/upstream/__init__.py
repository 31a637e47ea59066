"""From this repository to pull requests for SpeechBrain."""
